# pgfleet's block in /etc/hosts and what names resolve to. $1, $2 first and last line of the block; the rest: names
f=/etc/hosts
entry "$f"
block "$f" "$1" "$2"
shift 2
facts
# without WORD…: what the names resolve to is not known. The time is, and where this fails nothing else is read.
without() {
	echo done
	echo "$*" >&2
	exit 1
}
command -v getent >/dev/null 2>&1 || without "this host has no getent, so what its names resolve to is not known"
# together NAME…: one question for all, each name with an address after it, which is always found: so what is said before it is said of the name, also where others
# are not known. Fails where the answer is not of that kind.
mark=127.0.0.1
together() {
	asked=
	for name; do asked="$asked $name $mark"; done
	# shellcheck disable=SC2086 # words
	found=$(getent ahosts $asked)
	case $? in 0 | 2) ;; *) return 1 ;; esac
	answers= said= of=name
	IFS=$nl
	for line in $found; do
		case $line in
		*"STREAM $mark")
			[ $# -gt 0 ] || return 1
			answers="$answers${nl}resolved $1$said"
			said= of=mark
			shift
			;;
		*'STREAM '?*) said="$said ${line%% *}" of=name ;;
		*) [ "$of" = mark ] || said="$said ${line%% *}" ;;
		esac
	done
	[ $# = 0 ] && [ -z "$said" ] && printf '%s\n' "${answers#"$nl"}"
}
if ! together "$@"; then
	unset IFS
	for name; do
		# 0: found, 2: the name is not known; anything else is an answer that cannot be believed.
		found=$(getent ahosts "$name")
		case $? in
		0 | 2) ;;
		*) without "getent ahosts $name failed" ;;
		esac
		printf 'resolved %s' "$name"
		IFS=$nl
		for line in $found; do printf ' %s' "${line%% *}"; done
		unset IFS
		echo
	done
fi
echo done
