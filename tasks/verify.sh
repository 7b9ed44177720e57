# Connection tests with this host's own psql, one after the other, as the OS user whose files they use.
# Standard input: for each test three lines: its id, a conninfo string (no secrets), a password (may be empty).
# Standard output: for each test "id exit-code length", then that many bytes of psql's output, then a line end.
# $1: the query; a login for replication gets the replication protocol's own.
LC_ALL=C
export LC_ALL
unset PGSERVICE PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGOPTIONS PGSSLMODE PGSSLCERT PGSSLKEY PGSSLROOTCERT PGSSLCRL
psql=
for p in /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql; do
	[ -x "$p" ] && psql=$p
done
[ -n "$psql" ] || psql=$(command -v psql) || exit 127
while IFS= read -r id && IFS= read -r conninfo && IFS= read -r password; do
	case $conninfo in
	*" replication='true'"*) query=IDENTIFY_SYSTEM ;;
	*) query=$1 ;;
	esac
	if [ -n "$password" ]; then
		out=$(PGPASSWORD=$password "$psql" -X -A -t -w -d "$conninfo" -c "$query" 2>&1 </dev/null)
	else
		out=$("$psql" -X -A -t -w -d "$conninfo" -c "$query" 2>&1 </dev/null)
	fi
	code=$?
	printf '%s %s %s\n%s\n' "$id" "$code" "${#out}" "$out"
done
