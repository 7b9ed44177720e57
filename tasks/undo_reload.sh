# Has a server read the files that were put back. $1 data directory, $2 binaries, $3 OS user, $4 socket folder, $5 port.
data=$1 bin=$2 owner=$3 socket=$4 port=$5
loaded() { printf 'select extract(epoch from pg_conf_load_time());\n' | ask "$bin" "$socket" "$port" 2>&1; }
before=$(loaded) || fail "cannot ask the server when it last read its files: $before"
signal "$data" || exit 1
tries=0
while [ "$tries" -lt 60 ]; do
  tries=$((tries + 1))
  sleep 0.1 2>/dev/null || sleep 1
  now=$(loaded) && [ "$now" != "$before" ] && exit 0
done
fail "the server did not read the files that were put back"
