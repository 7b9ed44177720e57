# Removes what pgfleet has made for an identity, as its OS user: first the services, so that nothing names what goes after. $1 home; $2 pgfleet's folder of the identity
# below it; $3, $4 first and last line of its block in ~/.pg_service.conf; $5… copies in ~/.postgresql, by name.
home=$1
below=$2
services=$home/.pg_service.conf
new=$services.pgfleet-new
first=$3 last=$4
shift 4
if [ -f "$services" ]; then
	[ ! -L "$services" ] || fail "$services is a symbolic link: nothing is written through it"
	fresh "$new"
	with_block "$services" "$first" "$last" "$new" || exit 1
	durable "$new"
	mv -f -- "$new" "$services" || exit 1
fi
for name; do
	rm -f -- "$home/.postgresql/$name" || exit 1
done
[ -d "$home/$below" ] || exit 0
IFS=/
# shellcheck disable=SC2086 # one word a folder
folders 700 700 "$home" $below
# After the copies: what is here tells the next run which of those are ours.
rm -rf -- "${home:?}/$below" || exit 1
rmdir -- "$home/.postgresql/pgfleet" 2>/dev/null
exit 0
