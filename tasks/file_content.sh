# What a path is. $1 path; $2 text, sum or meta. Neither a private key nor what its owner alone may read is ever given.
# shown: what its owner alone may read is nothing for a diff, which is printed and kept.
shown() {
	case $1 in /etc/shadow* | /etc/gshadow*) return 1 ;; esac
	case $(stat -c %a -- "$1") in *00) return 1 ;; esac
	[ "$(wc -c <"$1")" -le 65536 ] && ! grep -q 'PRIVATE KEY' "$1"
}
if [ "$2" = text ] && [ -f "$1" ] && [ ! -L "$1" ] && shown "$1"; then
	entry "$1" text
else
	entry "$1"
fi
if [ "$2" != meta ] && [ "$kind" = file ]; then
	sum=$(openssl dgst -sha256 <"$1" 2>/dev/null || sha256sum <"$1")
	sum=${sum##*= }
	printf 'sum %s\n' "${sum%% *}"
fi
facts
echo done
