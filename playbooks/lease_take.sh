# Takes or renews the lease of this host.
# $1 folder  $2 run  $3 owner  $4 holder's process  $5 seconds  $6 run whose lease may be taken over, or ""
# Code 0: it is ours. Code 75: another run has it; its five lines are printed: run, owner, holder, end, since.
[ "${PGFLEET_UID:-$(id -u)}" = 0 ] || exit 0 # an ordinary user can change nothing that the lease protects
umask 077
[ -d "$1" ] || mkdir -p -m 0700 "$1" || exit 1
if command -v flock >/dev/null 2>&1; then
	exec 9>"$1/mutex" || exit 1
	flock 9 || exit 1 # waits; the step's limit ends it
else
	n=0
	until mkdir "$1/mutex.d" 2>/dev/null; do
		n=$((n + 1))
		[ "$n" -le 30 ] || { echo "$1/mutex.d is there for half a minute; if nothing holds it, remove it" >&2; exit 1; }
		sleep 1
	done
	trap 'rmdir "$1/mutex.d"' EXIT
fi
now=$(date +%s) || exit 1
since=$now
if [ -e "$1/lock" ]; then
	{ read -r run && read -r owner && read -r holder && read -r end && read -r begun; } <"$1/lock" || run=
	case "$run/$end/$begun" in
	/* | */ | *//* | */*[!0-9]*/* | */*/*[!0-9]*)
		echo "$1/lock cannot be read; if no other run works on this host, remove it" >&2
		exit 1
		;;
	esac
	if [ "$run" = "$2" ]; then
		since=$begun
	elif [ "$run" != "$6" ] && [ "$end" -gt "$now" ] && [ "$end" -le $((now + 86400)) ]; then
		printf '%s\n' "$run" "$owner" "$holder" "$end" "$begun"
		exit 75
	fi
fi
printf '%s\n' "$2" "$3" "$4" "$((now + $5))" "$since" >"$1/lock.new" && mv "$1/lock.new" "$1/lock"
