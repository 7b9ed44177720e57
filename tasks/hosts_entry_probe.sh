# pgfleet's block in /etc/hosts and what names resolve to. $1, $2 first and last line of the block; the rest: names
f=/etc/hosts
entry "$f"
if [ -f "$f" ]; then
	BEGIN=$1 END=$2 awk '$0 == ENVIRON["BEGIN"] { on = 1 } on { print } $0 == ENVIRON["END"] { on = 0 }' "$f" | say block
	printf 'markers %s\n' "$(BEGIN=$1 END=$2 awk '$0 == ENVIRON["BEGIN"] { printf "b" } $0 == ENVIRON["END"] { printf "e" }' "$f")"
fi
shift 2
command -v getent >/dev/null 2>&1 || { echo "this host has no getent, so what its names resolve to is not known" >&2 && exit 1; }
for name; do
	# 0: found, 2: the name is not known; anything else is an answer that cannot be believed.
	found=$(getent ahosts "$name")
	case $? in
	0 | 2) ;;
	*) echo "getent ahosts $name failed" >&2 && exit 1 ;;
	esac
	# shellcheck disable=SC2046 # one line of words
	printf 'resolved %s %s\n' "$name" "$(echo $(printf '%s\n' "$found" | awk '{ print $1 }' | sort -u))"
done
echo done
