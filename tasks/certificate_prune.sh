# Removes versions that nobody needs any more. Runs as root, below root's own folders. $1 folder of versions, $2 the version in force, $3 others that stay (words)
[ ! -L "$1" ] || exit 1
for v in "$1"/*; do
	case " $2 $3 * " in
	*" ${v##*/} "*) ;;
	*) rm -rf -- "$v" || exit 1 ;;
	esac
done
