# Makes what is missing of a version's key and prints a request for it. The key never leaves this host; only the request is printed.
# $1 anchor folder; $2 folders below it (a/b/c, the last is the version's); $3 name of the files (client or server); $4 mode of folders
# above the version; $5 key type; $6 version folder whose key is kept ("": a new key); $7 configuration of the request ("": its key is all that counts)
v=$1/$2
key=$v/$3.key
conf=$v/request.cnf
type=$5
old=${6:+$6/$3.key}
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders "$4" 700 "$1" $2
for f in "$key" "$key.new" "$conf"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it"
done
[ ! -e "$key.new" ] || rm -f -- "$key.new"
printf '%s\n' "${7:-[req]
prompt = no
distinguished_name = dn
[dn]
CN = pgfleet}" >"$conf" || { full "$v"; exit 1; }
request() {
	csr=$(openssl req -new -sha256 -config "$conf" -key "$1" -passin pass: </dev/null) || { full "$v"; fail "openssl made no request from $1"; }
}
# whole: the new key is there from its first line to its last.
whole() {
	first= last=
	while IFS= read -r line; do first=${first:-$line} last=$line; done <"$key.new"
	[ "$first" = '-----BEGIN PRIVATE KEY-----' ] && [ "$last" = '-----END PRIVATE KEY-----' ]
}
if [ -f "$key" ]; then
	request "$key"
elif [ -n "$old" ]; then
	cp -- "$old" "$key.new" || { full "$v"; exit 1; }
	chmod 600 "$key.new" || exit 1
	request "$key.new"
else
	case $type in
	ecdsa-p256) set -- EC -pkeyopt ec_paramgen_curve:prime256v1 -pkeyopt ec_param_enc:named_curve ;;
	ecdsa-p384) set -- EC -pkeyopt ec_paramgen_curve:secp384r1 -pkeyopt ec_param_enc:named_curve ;;
	rsa-*) set -- RSA -pkeyopt "rsa_keygen_bits:${type#rsa-}" ;;
	ed25519) set -- ED25519 ;;
	*) fail "unknown key type $type" ;;
	esac
	if ! csr=$(openssl req -new -sha256 -config "$conf" -nodes -keyout "$key.new" -newkey "$@" 2>/dev/null </dev/null) || ! whole; then
		full "$v"
		# An older OpenSSL: in two steps, and still PKCS#8.
		rm -f -- "$key.new"
		err=$(openssl genpkey -algorithm "$@" -out "$key.new" </dev/null 2>&1) && whole || { full "$v"; fail "this host's $(openssl version) makes no $type key: $err"; }
		request "$key.new"
	fi
fi
if [ -f "$key.new" ]; then
	durable "$key.new"
	mv -f -- "$key.new" "$key" || exit 1
	durable "$v"
fi
rm -f -- "$conf"
printf '%s\n' "$csr"
