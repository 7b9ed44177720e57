# Who may act on a path without being tricked, and what is there. $1 path; $2 text, sum or meta: how much of it; $3 a program that tells, run as
# whoever may act.
LC_ALL=C
export LC_ALL
me=$(id -u)
actor=
bad() {
	printf 'refused %s\ndone\n' "$1"
	exit 0
}
# walk FOLDER: every folder belongs to root, or from some folder on to one other user, who then acts.
walk() {
	rest=$1
	d=
	while :; do
		if ! [ -d "$d/" ]; then return; fi # made later, by whoever acts
		owner=$(stat -c %u -- "$d/") && rights=$(stat -c %A -- "$d/") && name=$(stat -c %U -- "$d/") || exit 1
		if [ "$owner" != 0 ] && [ "$owner" != "$me" ]; then
			[ -z "$actor" ] || [ "$actor" = "$name" ] || bad "$d belongs to $name and a folder above it to $actor: nobody can act there for both"
			actor=$name
		elif [ -z "$actor" ]; then
			case $rights in
			?????????[tT]*) ;;
			?????w* | ????????w*) bad "others may write in ${d:-/}: take that right away (chmod go-w)" ;;
			esac
		fi
		[ -n "$rest" ] || return
		d=$d/${rest%%/*}
		case $rest in
		*/*) rest=${rest#*/} ;;
		*) rest= ;;
		esac
		[ ! -L "$d" ] || bad "$d is a symbolic link to $(readlink -- "$d"): name the path without it"
		[ ! -e "$d" ] || [ -d "$d" ] || bad "$d is not a folder"
	done
}
folder=${1%/*}
walk "${folder#/}"
printf 'actor %s\n' "$actor"
if [ -z "$actor" ]; then
	exec /bin/sh -c "$3" sh "$1" "$2"
elif command -v runuser >/dev/null 2>&1; then
	# Through a pipe: whoever keeps the connection's own could add to what root prints later. The line "done" says that all came.
	runuser -u "$actor" -- /bin/sh -c "$3" sh "$1" "$2" | cat
else
	# shellcheck disable=SC2016 # the other shell expands it
	su -s /bin/sh "$actor" -c 'exec /bin/sh -c "$@"' sh "$3" sh "$1" "$2" | cat
fi
