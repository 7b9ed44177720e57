# Makes the folder that an identity has in the place of its OS user's home, for that user alone. Root makes it below folders where only root may write, and nowhere else.
# $1 the folder, $2 the OS user
[ ! -d "$1" ] || exit 0
LC_ALL=C
export LC_ALL
if [ "$(id -u)" != 0 ]; then
	mkdir -m 700 -- "$1"
	exit
fi
umask 022
set -f
above=${1%/*} new=$1.pgfleet-new d=
IFS=/
for name in ${above#/}; do
	d=$d/$name
	[ -d "$d" ] || [ -L "$d" ] || mkdir -- "$d" || exit 1
	case $(stat -c '%u %A' -- "$d") in
	'0 d'????[!w]??[!w]?) ;;
	*)
		echo "others than root may write in $d, so root makes no folder below it: make $1 by hand, for $2 alone, or let the inventory name another one (home)" >&2
		exit 1
		;;
	esac
done
unset IFS
# It is the user's before it has its name: whoever stops here leaves no folder that the user cannot enter, and the next run goes on with it.
[ -d "$new" ] && [ ! -L "$new" ] || mkdir -m 700 -- "$new" || exit 1
chmod 700 -- "$new" && chown "$2:" "$new" && mv -- "$new" "$1" || exit 1
if command -v restorecon >/dev/null 2>&1; then restorecon "$1" || exit 1; fi
