# Removes files of authorities and lists that neither the settings in force nor those before name. Root's own folder. $1 folder; $2… stay
dir=$1
shift
for f in "$dir"/trust-*.pem "$dir"/crl-*.pem; do
	for keep; do
		[ "$f" != "$keep" ] || continue 2
	done
	rm -f -- "$f" || exit 1
done
