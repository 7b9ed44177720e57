# Makes client.p12 of a version: key, certificate and all authorities above it, under the name user, by which PostgreSQL's JDBC driver looks for them. Runs as
# the OS user whose files they are. $1 pgfleet's folder of the identity, $2 version.
# The password is the first line of client.p12.password, which is made where there is none, and then stays.
v=$1/v/$2
password=$1/client.p12.password
new=$1/client.p12.new
for f in "$password" "$password.new" "$new" "$1/client.p12" "$v/client.p12"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it"
	[ -f "$f" ] || [ ! -e "$f" ] || fail "$f is not a file; remove it"
done
rm -f -- "$new"
if [ ! -s "$password" ]; then
	rm -f -- "$password.new"
	openssl rand -hex 24 >"$password.new" || fail "openssl made no password"
	durable "$password.new"
	mv -f -- "$password.new" "$password" || exit 1
fi
wrong=$(openssl x509 -in "$v/client.crt" |
	openssl pkcs12 -export -inkey "$v/client.key" -passin pass: -chain -CAfile "$v/issuer.crt" -name user -passout "file:$password" -out "$new" 2>&1) ||
	fail "openssl made no PKCS#12 file of $v: $wrong"
wrong=$(openssl pkcs12 -in "$new" -passin "file:$password" -noout 2>&1 </dev/null) || fail "the PKCS#12 file of $v cannot be read again: $wrong"
chmod 600 "$new" || exit 1
durable "$new"
mv -f -- "$new" "$v/client.p12" && cp -p -- "$v/client.p12" "$new" || exit 1
durable "$new"
mv -f -- "$new" "$1/client.p12"
