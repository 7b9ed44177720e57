# Makes replication.pem of a version: key and certificate in one file, which primary_conninfo names as both, so that one rename changes the pair. Runs as the OS user whose
# files they are. $1 pgfleet's folder of the identity, $2 version.
v=$1/v/$2
new=$1/replication.pem.new
for f in "$new" "$1/replication.pem" "$v/replication.pem"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it"
	[ -f "$f" ] || [ ! -e "$f" ] || fail "$f is not a file; remove it"
done
rm -f -- "$new"
cat "$v/client.key" "$v/client.crt" >"$new" && chmod 600 "$new" || fail "cannot write $new"
belong "$new" "$new"
durable "$new"
mv -f -- "$new" "$v/replication.pem" && cp -p -- "$v/replication.pem" "$new" || exit 1
durable "$new"
mv -f -- "$new" "$1/replication.pem"
