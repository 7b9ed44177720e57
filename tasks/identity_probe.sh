# What one identity has: its OS user's home, psql, files of libpq's default names, pgfleet's folder, services. Runs as that OS user.
# $1: folder name of the database user; $2, $3: first and last line of its block in ~/.pg_service.conf; $4: the folder in the place of the home directory, or "".
me=${PGFLEET_USER:-$(id -un)} || exit 1
home=$4
[ -n "$home" ] || [ "${PGFLEET_USER:-}" = "" ] || home=${HOME:-} # the connection's shell has it from the OS user's entry
[ -n "$home" ] || home=$(getent passwd "$me" 2>/dev/null | cut -d: -f6)
[ -n "$home" ] || home=$(ME=$me awk -F: '$1 == ENVIRON["ME"] { print $6; exit }' /etc/passwd)
case $home in
/*) ;;
*)
	echo "OS user $me has no home directory" >&2
	exit 1
	;;
esac
home=${home%/}
printf 'home\n|%s\n' "$home"
psql=
best=-1
for p in /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql; do
	[ -x "$p" ] || continue
	n=${p%/bin/psql}
	n=${n##*[!0-9.]}
	n=${n%%.*}
	[ "${n:-0}" -gt "$best" ] && best=${n:-0} psql=$p
done
[ -n "$psql" ] || psql=$(command -v psql) || psql=
printf 'psql\n|%s\n' "$psql"
entry "$home"
d=$home/.postgresql
entry "$d"
for f in "$d"/*.crt "$d"/*.crl; do
	case ${f##*/} in *[!A-Za-z0-9._-]* | -*) continue ;; esac
	if [ -e "$f" ] || [ -L "$f" ]; then entry "$f" pem; fi
done
if [ -r "$d" ] && [ -x "$d" ]; then printf 'listed %s/*.crt\nlisted %s/*.crl\n' "$d" "$d"; fi
for f in postgresql.key client.key; do entry "$d/$f" key; done
entry "$d/pgfleet"
d=$d/pgfleet/$1
entry "$d"
entry "$d/root.crt" pem
entry "$d/root.crl" pem
entry "$d/pgfleet.env" text
entry "$d/v"
[ -L "$d/v" ] || versions "$d/v" client
for f in "$d/changed" "$d/client.p12" "$d"/v/*/client.p12 "$d/replication.pem" "$d"/v/*/replication.pem; do
	if [ -e "$f" ] || [ -L "$f" ]; then entry "$f"; fi
done
s=$home/.pg_service.conf
entry "$s"
[ -L "$s" ] || block "$s" "$2" "$3"
facts
echo done
