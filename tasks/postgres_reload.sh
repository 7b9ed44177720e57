# Has a server read its files again, and waits until it has. Changes no file. $1 binaries, $2 socket folder, $3 port.
# A session learns of the signal after the server has read postgresql.conf and before it has loaded the TLS files; whoever connects once this has ended
# is served with those.
# wait TIMES SECONDS: looks so often, that far apart.
wait_for() {
  n=0
  while [ "$n" -lt "$1" ]; do
    printf 'select pg_sleep(%s) \\g /dev/null\nselect extract(epoch from pg_conf_load_time())::text <> :%sbefore%s as after \\gset\n\\if :after\n\\q\n\\endif\n' "$2" "'" "'"
    n=$((n + 1))
  done
}
wrong=$({
  printf 'select extract(epoch from pg_conf_load_time())::text as before \\gset\nselect pg_reload_conf() as sent \\gset\n'
  printf '\\if :sent\n\\else\n\\echo the server could not be signalled\n\\q\n\\endif\n'
  wait_for 15 0.02
  wait_for 20 0.1
  wait_for 10 1
  printf '\\echo the server did not read its files again: postgresql.conf has an error that makes it ignore the whole file; its log says which\n'
} | ask "$1" "$2" "$3" 2>&1) || fail "cannot have the server read its files again: $wrong"
[ -z "$wrong" ] || fail "$wrong"
