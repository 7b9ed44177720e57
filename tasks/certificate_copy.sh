# Copies key and certificate into the data directory, as the server's OS user, whose folder it is. $1 key, $2 certificate, $3 data directory,
# $4 ours: what is there is pgfleet's; copy: it is kept as NAME.before-pgfleet; refuse: nothing of others is written over
if [ "$4" = refuse ]; then
	# A run that was stopped may have left these very files.
	for f in "$1" "$2"; do
		to=$3/${f##*/}
		[ ! -e "$to" ] || cmp -s -- "$f" "$to" || fail "$to is not pgfleet's: move it away, or say existing: replace (it is kept as ${to##*/}.before-pgfleet)"
	done
fi
for f in server.key server.crt; do
	[ ! -L "$3/$f" ] && [ ! -L "$3/$f.pgfleet-new" ] || fail "$3/$f is a symbolic link: nothing is written through it; remove it"
	fresh "$3/$f.pgfleet-new"
done
cp -- "$1" "$3/server.key.pgfleet-new" && cp -- "$2" "$3/server.crt.pgfleet-new" || exit 1
chmod 600 "$3/server.key.pgfleet-new" "$3/server.crt.pgfleet-new" || exit 1
belong "$3/server.key.pgfleet-new" "$3/server.crt.pgfleet-new"
durable "$3/server.key.pgfleet-new" "$3/server.crt.pgfleet-new"
if [ "$4" = copy ]; then
	for f in server.key server.crt; do
		[ ! -f "$3/$f" ] || [ -e "$3/$f.before-pgfleet" ] || cp -p -- "$3/$f" "$3/$f.before-pgfleet" || exit 1
	done
fi
mv -f -- "$3/server.key.pgfleet-new" "$3/server.key" && mv -f -- "$3/server.crt.pgfleet-new" "$3/server.crt"
