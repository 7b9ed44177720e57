# Functions for probes: what a file is, in lines that a program reads, and never a private key.
LC_ALL=C
export LC_ALL
umask 077
if base64 -w 0 </dev/null >/dev/null 2>&1; then
	b64() { base64 -w 0; }
else
	b64() { openssl base64 -A; }
fi
# say NAME: one line, NAME and standard input in base64.
say() {
	printf '%s ' "$1"
	b64
	printf '\n'
}
# entry PATH [pem|key|text]: what is there; for a file also the public part of its content. A file that ends in .key counts as a key.
entry() {
	kind=absent
	if [ -L "$1" ]; then
		kind=link
	elif [ -f "$1" ]; then
		kind=file
	elif [ -d "$1" ]; then
		kind=dir
	elif [ -e "$1" ]; then
		kind=other
	elif [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; then
		kind=unknown
	fi
	meta='- - 0 0 0 0'
	case $kind in
	absent | unknown) ;;
	*) meta=$(stat -c '%U %G %a %Y %u %s' -- "$1") || kind=unknown meta='- - 0 0 0 0' ;;
	esac
	printf 'entry %s %s %s\n' "$kind" "$meta" "$1"
	case $kind:${2:-} in
	link:*) readlink -- "$1" | say link ;;
	file:pem)
		sed -n -e '/^-----BEGIN CERTIFICATE-----/,/^-----END CERTIFICATE-----/p' \
			-e '/^-----BEGIN X509 CRL-----/,/^-----END X509 CRL-----/p' "$1" | head -c 1048576 | say pem
		;;
	file:key)
		if grep -q ENCRYPTED "$1"; then
			echo encrypted
		else
			openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null </dev/null | say pub
		fi
		;;
	file:text) head -c 65536 "$1" | say text ;;
	esac
}
# versions FOLDER NAME: each version folder in it with NAME.key, NAME.crt and issuer.crt.
versions() {
	for v in "$1"/*; do
		[ -e "$v" ] || [ -L "$v" ] || continue
		entry "$v"
		[ -d "$v" ] && [ ! -L "$v" ] || continue
		entry "$v/$2.key" key
		entry "$v/$2.crt" pem
	done
}
printf 'uid %s\n' "$(id -u)"
