# Copies a file of authorities or of lists into the data directory, as the server's OS user, whose folder it is, and puts it in place by one rename.
# $1 the file, $2 its copy, $3 copy: a file that was there is kept as NAME.before-pgfleet
for f in "$2" "$2.pgfleet-new" "$2.before-pgfleet"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it"
done
[ -f "$2" ] || [ ! -e "$2" ] || fail "$2 is not a file; remove it"
fresh "$2.pgfleet-new"
if cmp -s -- "$1" "$2" && [ "$(stat -c '%u %a' -- "$2")" = "${PGFLEET_UID:-$(id -u)} 600" ]; then exit 0; fi
cp -- "$1" "$2.pgfleet-new" && chmod 600 "$2.pgfleet-new" || exit 1
durable "$2.pgfleet-new"
if [ "$3" = copy ] && [ -f "$2" ] && [ ! -e "$2.before-pgfleet" ]; then
	cp -p -- "$2" "$2.before-pgfleet" || exit 1
fi
mv -f -- "$2.pgfleet-new" "$2" || exit 1
durable "${2%/*}"
