# What a path is. $1 path; $2 text, sum or meta. A private key is never given.
if [ "$2" = text ] && [ -f "$1" ] && [ ! -L "$1" ] && [ "$(wc -c <"$1")" -le 65536 ] && ! grep -q 'PRIVATE KEY' "$1"; then
	entry "$1" text
else
	entry "$1"
fi
if [ "$2" != meta ] && [ "$kind" = file ]; then
	sum=$(openssl dgst -sha256 <"$1" 2>/dev/null || sha256sum <"$1")
	sum=${sum##*= }
	printf 'sum %s\n' "${sum%% *}"
fi
echo done
