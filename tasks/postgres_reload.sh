# Has a server read its files again, once they are seen to be good, and waits until it has. Changes no file.
# $1 data directory, $2 binaries, $3 OS user, $4 socket folder, $5 port, $6 address for TLS, $7 certificate, $8 key, $9 CA file, then CRL file, passphrase command (yes, no), ssl (on, off).
data=$1 bin=$2 owner=$3 socket=$4 port=$5 at=$6 cert=$7 key=$8 ca=$9
shift 9
crl=$1 passphrase=$2 ssl=$3
if [ "$ssl" = on ]; then
  wrong=$(check_tls "$cert" "$key" "$ca" "$crl" "$passphrase" 2>&1) || fail "not reloaded, a server with these files would not start: $wrong"
fi
loaded() { printf 'select extract(epoch from pg_conf_load_time());\n' | ask "$bin" "$socket" "$port" 2>&1; }
before=$(loaded) || fail "cannot ask the server when it last read its files: $before"
signal "$data" || exit 1
served() { timeout 5 openssl s_client -starttls postgres -connect "$at:$port" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256 2>/dev/null; }
want=
[ "$ssl" = on ] && [ -n "$at" ] && want=$(as "$owner" openssl x509 -in "$cert" -noout -fingerprint -sha256)
tries=0 now=$before
while [ "$tries" -lt 60 ]; do
  tries=$((tries + 1))
  sleep 0.1 2>/dev/null || sleep 1
  [ "$now" != "$before" ] || now=$(loaded) || continue
  [ "$now" != "$before" ] || continue
  [ -z "$want" ] || [ "$(served)" = "$want" ] || continue
  exit 0
done
[ "$now" != "$before" ] || fail "the server did not read its files again: postgresql.conf has an error that makes it ignore the whole file; its log says which"
fail "the server read its files but goes on presenting another certificate than $cert; its log says why (\"SSL configuration was not reloaded\")"
