# Functions for programs that make and install keys. Root acts only below folders of root, an OS user only below folders of his own.
LC_ALL=C
# The machine's own authorities take openssl longer to load than all the rest, and have no say here.
SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export LC_ALL SSL_CERT_FILE SSL_CERT_DIR
umask 077
set -f
nl='
'
fail() {
	echo "$*" >&2
	exit 1
}
# folders MODE LAST ANCHOR NAME…: each NAME below the one before, made when it is missing, with MODE, the last with LAST; never through a link, never below a
# stranger's folder: what is there is looked at before anything is made. Of several that cannot be made the first one's reason is told. rights has owner,
# rights and path of what is there, and of the file also, which is not judged, if one is named.
also=
folders() {
	mode=$1
	last=$2
	d=$3
	shift 3
	there= missing= rights=
	for name; do
		d=$d/$name
		[ ! -L "$d" ] || fail "$d is a symbolic link: nothing is written through it; remove it, or make it a folder"
		if [ -d "$d" ]; then there=$there$d$nl; else missing=$missing$d$nl; fi
	done
	IFS=$nl
	# shellcheck disable=SC2086 # one word a folder
	[ -z "$there" ] || rights=$(stat -c '%u %A %n' -- $there $also) || exit 1
	for right in $rights; do
		name=${right#* } myself=${PGFLEET_UID:-$(id -u)}
		[ "${name#* }" != "$also" ] || continue
		[ "${right%% *}" = "$myself" ] || fail "${name#* } belongs to $(stat -c %U -- "${name#* }"), not to $(id -un): hand it over (chown) or remove it"
		case $name in
		?????w* | ????????w*) fail "others may write in ${name#* }: chmod go-w it" ;;
		esac
	done
	if [ -n "$missing" ]; then
		missing=${missing%"$nl"}
		if [ "$mode" != "$last" ] && [ "$missing" != "$d" ]; then
			# shellcheck disable=SC2086 # one word a folder
			said=$(exec mkdir -m "$mode" -- ${missing%"$nl"*} 2>&1) || fail "${said%%"$nl"*}"
			missing=$d
		fi
		# shellcheck disable=SC2086 # one word a folder
		said=$(exec mkdir -m "$last" -- $missing 2>&1) || fail "${said%%"$nl"*}"
	fi
	unset IFS
}
# full FOLDER: fails with what the system says of a full disk, which programs say in other words, or cut what they write without a word.
full() {
	fresh "$1/.pgfleet-room"
	wrong=$(head -c 16384 /dev/zero 2>&1 >"$1/.pgfleet-room") || { rm -f -- "$1/.pgfleet-room"; fail "cannot write in $1: ${wrong##*: }"; }
	rm -f -- "$1/.pgfleet-room"
}
# fresh FILE: nothing of that name is there any more.
fresh() {
	if [ -e "$1" ] || [ -L "$1" ]; then rm -f -- "$1" || exit 1; fi
}
# durable FILE…: their bytes are on the disk.
durable() { sync -- "$@" 2>/dev/null || sync; }
# public KEY: its public key, in PEM.
public() { openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null </dev/null; }
# belong KEY CERTIFICATE: the certificate is for this key. Where openssl can, it also checks the key's two halves against each other.
checked=
belong() {
	have=$(openssl pkey -in "$1" -passin pass: -check -pubout 2>/dev/null </dev/null)
	case $have in
	*"Key is valid"*-----BEGIN*) checked=$1 have="-----BEGIN${have#*-----BEGIN}" ;;
	*) have=$(public "$1") || fail "$1 cannot be read as a key without a passphrase by $(id -un)" ;;
	esac
	want=$(openssl x509 -in "$2" -noout -pubkey) || fail "$2 cannot be read as a certificate by $(id -un)"
	[ -n "$have" ] && [ "$have" = "$want" ] || fail "key and certificate do not belong together: $1, $2"
}
# note KEY, after belong or fits: its public half, have, with what changes whenever the key's file does: looks open the key only when that differs. Cut off or missing it is no loss.
note() {
	printf 'key %s\n%s\n' "$(stat -c '%i:%.9Z' -- "$1")" "$have" >"${1%.key}.pub" || :
}
# proven KEY CERTIFICATE, after belong: what the private half signs, the certificate's public half accepts. A key with a forged public half fails here.
proven() {
	[ "$checked" != "$1" ] || return 0
	t=$(mktemp -d) || exit 1
	openssl x509 -in "$2" -noout -pubkey >"$t/pub" && printf pgfleet >"$t/text" || fail "cannot write in $t"
	if openssl pkey -pubin -in "$t/pub" -noout -text | grep -qi '^ *ed25519'; then
		openssl pkeyutl -sign -rawin -inkey "$1" -in "$t/text" -out "$t/sig" &&
			openssl pkeyutl -verify -rawin -pubin -inkey "$t/pub" -in "$t/text" -sigfile "$t/sig" >/dev/null
	else
		openssl dgst -sha256 -sign "$1" -passin pass: -out "$t/sig" "$t/text" </dev/null &&
			openssl dgst -sha256 -verify "$t/pub" -signature "$t/sig" "$t/text" >/dev/null
	fi
	ok=$?
	rm -rf -- "$t"
	[ "$ok" = 0 ] || fail "key $1 does not sign what certificate $2 verifies: the key has been damaged or tampered with"
}
# leads PURPOSE CERTIFICATE ISSUERS: the chain ends in a root of ISSUERS. (OpenSSL before 1.1.0 exits with 0 whatever it found.)
leads() {
	out=$(openssl verify -purpose "$1" -CAfile "$3" -untrusted "$2" "$2" 2>&1)
	case $out in
	*": OK") ;;
	*) fail "certificate $2 is not accepted: $out" ;;
	esac
}
# fits PURPOSE KEY CERTIFICATE ISSUERS: belong, proven and leads in one: what the key signs is accepted as signed by who has the certificate. Where it is not, or this
# openssl cannot do it (Ed25519 before 3.2), each is looked at by itself, and says what is wrong.
fits() {
	openssl cms -sign -md sha256 -binary -nodetach -outform DER -signer "$3" -inkey "$2" -passin pass: -in "$3" 2>/dev/null </dev/null |
		openssl cms -verify -inform DER -purpose "$1" -CAfile "$4" -out /dev/null 2>/dev/null && return
	belong "$2" "$3"
	proven "$2" "$3"
	leads "$1" "$3" "$4"
}
