# Puts one version of an identity in force: checks it as the user who will read it, then replaces the block in ~/.pg_service.conf by one rename.
# $1 home; $2 pgfleet's folder below it; $3 version to check and put in force ("": none changes); $4 versions that stay besides it (words); $5, $6 first and
# last line of the block; $7 copies in ~/.postgresql (words: postgresql and client for the pair, root.crt:NAME, root.crl:NAME); $8 copy: foreign files
# that are replaced are kept as NAME.before-pgfleet; $9 text of pgfleet.env; $10 roots: new root.crt and root.crl are put in force, and their copies, a list never
# later than its authority; $11 services: the block is put into the file of services, which stays as it is otherwise; $12 public half of the certificate, in PEM. The rest:
# the lines of the block. Without any, standard input has them, or none to remove it.
home=$1 below=$2 gen=$3 kept=$4 begin=$5 end=$6 copies=$7 copy=$8 text=$9 roots=${10} switch=${11} public=${12}
shift 12
base=$home/$below
v=$base/v/$gen
[ -z "$gen" ] || also=$v/client.key
IFS=/
# shellcheck disable=SC2086 # one word a folder
if [ -n "$gen" ]; then folders 700 700 "$home" $below v "$gen"; else folders 700 700 "$home" $below; fi
services=$home/.pg_service.conf
new=$services.pgfleet-new
env=$base/pgfleet.env
for f in "$services" "$new" "$env" "$env.new"; do
	[ ! -L "$f" ] || fail "$f is a symbolic link: nothing is written through it; remove it, or put a file in its place"
done
if [ -n "$gen" ]; then
	case $rights in *" -rw------- $also") ;; *) chmod 600 -- "$also" || exit 1 ;; esac
	have=$public
	fits sslclient "$v/client.key" "$v/client.crt" "$v/issuer.crt"
	note "$v/client.key"
fi
# What the names of files are in is ready, and on the disk, before anything is put in force.
printf '%s\n' "$text" >"$env.new" || { full "$base"; exit 1; }
if [ "$switch" = services ]; then
	fresh "$new"
	IFS=$nl
	# shellcheck disable=SC2046 # one word a line
	[ $# -gt 0 ] || set -- $(cat)
	unset IFS
	if [ -f "$services" ]; then
		with_block "$services" "$begin" "$end" "$new" "$@" || { full "$home"; exit 1; }
	else
		{ [ $# = 0 ] || printf '%s\n' "$@"; } >"$new" || { full "$home"; exit 1; }
	fi
	durable "$env.new" "$new"
else
	durable "$env.new"
fi
# publish FILE NAME: a copy of FILE beside ~/.postgresql/NAME, for durable and put.
publish() {
	to=$home/.postgresql/$2
	[ ! -L "$to" ] || fail "$to is a symbolic link: nothing is written through it; remove it"
	[ -f "$to" ] || [ ! -e "$to" ] || fail "$to is not a file; remove it"
	if [ "$copy" = copy ] && [ -f "$to" ] && [ ! -e "$to.before-pgfleet" ]; then
		cp -p -- "$to" "$to.before-pgfleet" || exit 1
	fi
	fresh "$to.pgfleet-new"
	cp -- "$1" "$to.pgfleet-new" && chmod 600 "$to.pgfleet-new" || exit 1
}
# put NAME: what was published is in force.
put() { mv -f -- "$home/.postgresql/$1.pgfleet-new" "$home/.postgresql/$1" || exit 1; }
if [ "$roots" = roots ]; then
	# Our own files after their copies: a copy that is stopped at is then what is wanted or what is ours, and nobody else's.
	for f in root.crl.union root.crt.new root.crl.new; do
		[ -f "$base/$f" ] || continue
		for word in $copies; do
			[ "${word%%:*}" = "${f%.*}" ] || continue
			publish "$base/$f" "${word#*:}"
			durable "$to.pgfleet-new"
			put "${word#*:}"
		done
		mv -f -- "$base/$f" "$base/${f%.*}" || exit 1
	done
fi
pairs=
for name in $copies; do
	case $name in
	*:*) ;;
	*)
		publish "$v/client.key" "$name.key"
		publish "$v/client.crt" "$name.crt"
		durable "$home/.postgresql/$name.key.pgfleet-new" "$home/.postgresql/$name.crt.pgfleet-new"
		pairs="$pairs $name.key $name.crt"
		;;
	esac
done
# The pair last and side by side: everything slow has been done.
for name in $pairs; do put "$name"; done
[ "$switch" != services ] || mv -f -- "$new" "$services" || exit 1
mv -f -- "$env.new" "$env" || exit 1
[ -n "$gen" ] || exit 0
set +f
for old in "$base"/v/*; do
	case " $gen $kept " in
	*" ${old##*/} "*) ;;
	*) rm -rf -- "$old" || exit 1 ;;
	esac
done
