# Opens a new version folder to the server that will read it (and checks it before it is put in force). Runs as root, below root's own folders.
# $1 /etc, $2 pgfleet's folder of the cluster below it, $3 version, $4 the server's group
v=$1/$2/v/$3
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders 755 700 "$1" $2 v "$3"
for f in server.key server.crt issuer.crt; do
	[ ! -L "$v/$f" ] && [ -f "$v/$f" ] || fail "$v/$f is not a file"
done
# What the folder's default ACL says of others would hold for the key as soon as its group may read it.
if command -v setfacl >/dev/null 2>&1; then setfacl -b -- "$v/server.key" || exit 1; fi
chown "root:$4" "$v/server.key" && chmod 640 "$v/server.key" && chmod u=rwX,go=rX "$v/server.crt" "$v/issuer.crt" "$v" || exit 1
if command -v restorecon >/dev/null 2>&1; then restorecon -R "$1/$2" || exit 1; fi
