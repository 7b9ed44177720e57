# Sets primary_conninfo of a standby where it is in force, and waits until it streams again; when it does not, what was there before comes back. Standard input: the new
# value, the one that was looked at, the SQL that sets each of them, the line of the file that sets each of them; one line each. They may hold a password: never in arguments.
# $1 the cluster's folder, $2 binaries, $3 socket folder, $4 port, $5 file that sets it ("": ALTER SYSTEM), $6 line of it, $7 reload: a reload brings it into force; restart: nothing is
# reloaded, $8 what the connection string of the stream holds then.
dir=$1 bin=$2 socket=$3 port=$4 file=$5 at=$6 how=$7 holds=$8
IFS= read -r new && IFS= read -r was && IFS= read -r set_new && IFS= read -r set_was && IFS= read -r line_new && IFS= read -r line_was || fail "the new value was cut off"
query() { ask "$bin" "$socket" "$port"; }
written() { # what the configuration says now, whether or not it is in force
  echo "select setting from pg_file_settings where name = 'primary_conninfo' order by seqno desc limit 1;" | query
}
[ "$(written)" = "$was" ] || fail "primary_conninfo was changed by somebody else since it was looked at; nothing was written, run again"
# What it was stays on record, for root alone.
[ -d "$dir" ] || { mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" || fail "cannot make $dir"; }
[ -e "$dir/primary_conninfo.before" ] || { printf '%s\n' "$was" >"$dir/.primary_conninfo.new" && mv "$dir/.primary_conninfo.new" "$dir/primary_conninfo.before" || fail "cannot write $dir/primary_conninfo.before"; }
write() { # write SQL LINE
  if [ -z "$file" ]; then
    printf '%s\n' "$1" | query >/dev/null
    return
  fi
  actor "$file" || return 1
  printf '%s\n' "$2" | as "$who" /bin/sh -c "$placing"'
    real "$1"
    IFS= read -r line || exit 1
    meta=$(stat -L -c "%a %U %G" -- "$path") || exit 1
    sed -n "$2p" "$path" | grep -qi "^[[:space:]]*primary_conninfo[[:space:]=]" || wrong "line $2 of $path does not set primary_conninfo any more"
    { head -n "$(($2 - 1))" "$path" && printf "%s\n" "$line" && tail -n "+$(($2 + 1))" "$path"; } >"$new" || { rm -f "$new"; wrong "cannot write $new"; }
    # shellcheck disable=SC2086 # three words
    place "$path" $meta "$3"
  ' sh "$file" "$at" "$who" >/dev/null
}
streams() { # a walreceiver streams, another one than before, and with what is wanted where that is said
  printf "select count(*) from pg_stat_wal_receiver where status = 'streaming' and pid::text <> :'before' and (:'holds' = '' or position(:'holds' in conninfo) > 0);\n" |
    as "$owner" "$bin/psql" -X -A -t -q -w -v ON_ERROR_STOP=1 -v holds="${1-}" -v before="$before" -h "$socket" -p "$port" -d postgres -c 'set search_path = pg_catalog' -f - 2>/dev/null
}
within() { # within SECONDS WORD…: WORD… says 1 within that time
  tries=$(($1 * 5))
  shift
  while [ "$("$@")" != 1 ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.2
  done
}
in_force() { echo "select (setting = '$1')::int from pg_settings where name = 'primary_conninfo';" | query; }
reload() { echo 'select pg_reload_conf();' | query >/dev/null; }
before=
streamed=$(streams)
before=$(echo 'select pid from pg_stat_wal_receiver;' | query)
write "$set_new" "$line_new" || fail "cannot write primary_conninfo"
[ "$how" = reload ] || exit 0
quoted=$(printf '%s' "$new" | sed "s/'/''/g")
reload && within 10 in_force "$quoted" || fail "the server does not take the new primary_conninfo; its log says why"
# Where nothing streamed, whatever the reason is, the new value is not to blame.
[ "$streamed" = 1 ] || exit 0
if ! within 30 streams "$holds"; then
  write "$set_was" "$line_was" && reload || fail "it does not stream with the new primary_conninfo, and the one of before could not be set again: it is in $dir/primary_conninfo.before"
  fail "it does not stream with the new primary_conninfo within 30 seconds, and the one of before was set again; the server's log says why"
fi
