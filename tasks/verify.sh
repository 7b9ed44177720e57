# Connection tests with this host's own psql, as the OS user whose files they use.
# Standard input: for each test three lines: its id, a conninfo string (no secrets), a password (may be empty). Tests up to an empty line are made at the
# same time, those after it when all of them have ended.
# Standard output: for each test, in no order, "id exit-code length", then that many bytes of psql's output, then a line end.
# $1: the query; a login for replication gets the replication protocol's own.
LC_ALL=C
export LC_ALL
unset PGSERVICE PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGOPTIONS PGSSLMODE PGSSLCERT PGSSLKEY PGSSLROOTCERT PGSSLCRL
psql=
for p in /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql; do
	[ -x "$p" ] && psql=$p
done
[ -n "$psql" ] || psql=$(command -v psql) || exit 127
try() { # try ID CONNINFO PASSWORD
	case $2 in *" replication='true'"*) query=IDENTIFY_SYSTEM ;; esac
	if [ -n "$3" ]; then
		out=$(PGPASSWORD=$3 "$psql" -X -A -t -w -d "$2" -c "$query" 2>&1 </dev/null)
	else
		out=$("$psql" -X -A -t -w -d "$2" -c "$query" 2>&1 </dev/null)
	fi
	code=$?
	# At most 4096 bytes (POSIX's PIPE_BUF) are one write, into which no other test writes. The answer stands last, after whatever the server tells of the query.
	[ "${#out}" -le 4000 ] || out=$(printf '%s' "$out" | tail -c 4000)
	printf '%s %s %s\n%s\n' "$1" "$code" "${#out}" "$out"
}
query=$1
while IFS= read -r id; do
	if [ -z "$id" ]; then
		wait
		continue
	fi
	IFS= read -r conninfo && IFS= read -r password || exit 1
	try "$id" "$conninfo" "$password" &
done
wait
