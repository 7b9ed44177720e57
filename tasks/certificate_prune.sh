# Removes versions that nobody needs any more. Runs as root, below root's own folders. $1 folder of versions, $2 and $3 versions that stay
[ ! -L "$1" ] || exit 1
for v in "$1"/*; do
	case ${v##*/} in
	"$2" | "$3" | '*') ;;
	*) rm -rf -- "$v" || exit 1 ;;
	esac
done
