# What pgfleet keeps below /etc/pgfleet: versions with their certificates and public keys, authorities, lists. Runs as root.
top=/etc/pgfleet
entry "$top"
if [ -d "$top" ] && [ ! -L "$top" ]; then
	for c in "$top"/*; do
		[ -e "$c" ] || [ -L "$c" ] || continue
		entry "$c"
		[ -d "$c" ] && [ ! -L "$c" ] || continue
		for f in "$c"/trust-*.pem "$c"/crl-*.pem; do
			[ -e "$f" ] && entry "$f" pem
		done
		entry "$c/v"
		[ -L "$c/v" ] || versions "$c/v" server
	done
	printf 'listed %s\n' "$top"
fi
facts
echo done
