# pgfleet's block in /etc/hosts and what names resolve to. $1, $2 first and last line of the block; the rest: names
f=/etc/hosts
entry "$f"
if [ -f "$f" ]; then
	BEGIN=$1 END=$2 awk '
		$0 == ENVIRON["BEGIN"] { on = 1; markers = markers "b" }
		on { block = block "|" $0 "\n" }
		$0 == ENVIRON["END"] { on = 0; markers = markers "e" }
		END { printf "block\n%smarkers %s\n", block, markers }' "$f"
fi
shift 2
command -v getent >/dev/null 2>&1 || { echo "this host has no getent, so what its names resolve to is not known" >&2 && exit 1; }
# together NAME…: one question for all. Where one of them is not known there is no telling which; a group of lines begins with one that has a name.
together() {
	found=$(getent ahosts "$@") || return 1
	set -- "$@" .
	names=
	IFS=$nl
	for line in $found; do
		case $line in
		*'STREAM '?*)
			[ "$1" != . ] || return 1
			names="$names${nl}resolved $1"
			shift
			;;
		esac
		names="$names ${line%% *}"
	done
	unset IFS
	[ "$1" = . ] || return 1
	printf '%s\n' "${names#"$nl"}"
}
if ! { [ $# -gt 1 ] && together "$@"; }; then
	unset IFS
	for name; do
		# 0: found, 2: the name is not known; anything else is an answer that cannot be believed.
		found=$(getent ahosts "$name")
		case $? in
		0 | 2) ;;
		*) echo "getent ahosts $name failed" >&2 && exit 1 ;;
		esac
		printf 'resolved %s' "$name"
		IFS=$nl
		for line in $found; do printf ' %s' "${line%% *}"; done
		unset IFS
		echo
	done
fi
facts
echo done
