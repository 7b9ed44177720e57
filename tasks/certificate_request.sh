# Makes what is missing of a version's key and prints a request for it. The key never leaves this host; only the request is printed.
# $1 anchor folder; $2 folders below it (a/b/c, the last is the version's); $3 name of the files (client or server); $4 mode of folders
# above the version; $5 key type; $6 version folder whose key is kept ("": a new key)
v=$1/$2
key=$v/$3.key
conf=$v/request.cnf
csr=$v/request.pem
type=$5
old=${6:+$6/$3.key}
anchor=$1
mode=$4
above=${2%/*}
version=${2##*/}
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders "$mode" "$anchor" $above
unset IFS
folders 700 "$anchor/$above" "$version"
for f in "$key" "$key.new" "$conf" "$csr"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it"
done
rm -f -- "$key.new" "$csr"
# A full disk is told here: later on, programs say it in other words or cut what they write.
wrong=$(head -c 16384 /dev/zero 2>&1 >"$csr") || { rm -f -- "$csr"; fail "cannot write in $v: ${wrong##*: }"; }
rm -f -- "$csr"
printf '[req]\nprompt = no\ndistinguished_name = dn\n[dn]\nCN = pgfleet\n' >"$conf" || exit 1
request() {
	openssl req -new -sha256 -config "$conf" -key "$1" -passin pass: -out "$csr" </dev/null || fail "openssl made no request from $1"
}
if [ -f "$key" ]; then
	request "$key"
elif [ -n "$old" ]; then
	cp -- "$old" "$key.new" || exit 1
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
	err=$(openssl req -new -sha256 -config "$conf" -nodes -keyout "$key.new" -out "$csr" -newkey "$@" 2>&1 </dev/null)
	if [ ! -s "$csr" ] || [ "$(head -n 1 "$key.new")" != '-----BEGIN PRIVATE KEY-----' ]; then
		# An older OpenSSL: in two steps, and still PKCS#8.
		rm -f -- "$key.new"
		openssl genpkey -algorithm "$@" -out "$key.new" </dev/null 2>/dev/null || fail "this host's $(openssl version) makes no $type key: $err"
		request "$key.new"
	fi
	chmod 600 "$key.new" || exit 1
fi
if [ -f "$key.new" ]; then
	durable "$key.new"
	mv -f -- "$key.new" "$key" || exit 1
	durable "$v"
fi
cat "$csr"
rm -f -- "$csr" "$conf"
