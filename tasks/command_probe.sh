# Whether a command has to run. $1 path that it makes, or ""; the rest: a command that ends with 0 when there is nothing to do.
creates=$1
shift
if [ -n "$creates" ]; then
	if [ -e "$creates" ] || [ -L "$creates" ]; then
		echo created
		exit 0
	fi
	up=$creates
	while up=${up%/*} && [ -n "$up" ]; do
		[ ! -d "$up" ] || [ -x "$up" ] || { echo "$(id -un) may not look into $up" >&2 && exit 1; }
	done
fi
if [ $# -gt 0 ]; then
	"$@" >/dev/null 2>&1 </dev/null
	echo "unless $?"
else
	echo missing
fi
