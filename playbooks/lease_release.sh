# Gives the lease of this host back if it is this run's. $1 folder  $2 run
[ -e "$1/lock" ] || exit 0
if command -v flock >/dev/null 2>&1; then
	exec 9>"$1/mutex" && flock 9 || exit 1
else
	mkdir "$1/mutex.d" 2>/dev/null || exit 1
	trap 'rmdir "$1/mutex.d"' EXIT
fi
read -r run <"$1/lock" || exit 0
[ "$run" != "$2" ] || rm -f "$1/lock"
