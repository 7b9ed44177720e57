# Replaces our settings file of a cluster and has postgresql.conf include it last. stdin: the new file.
# $1 the cluster's folder, $2 postgresql.conf, $3 data directory, $4 binaries, $5 OS user, $6 the include line, $7 yes: write that line at the end.
dir=$1 conf=$2 data=$3 bin=$4 owner=$5 line=$6 include=$7
new=$dir/.pgfleet.conf.new check=$2.pgfleet-check
mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" || fail "cannot make $dir"
rm -f "$new" && cat >"$new" && chmod 644 "$new" || fail "cannot write $new"
swap() { # swap TEXT FROM TO: no pattern, whatever is in the paths
  left=$1
  while case $left in *"$2"*) ;; *) false ;; esac; do
    printf '%s' "${left%%"$2"*}$3"
    left=${left#*"$2"}
  done
  printf '%s' "$left"
}
done_with() { rm -f "$new"; as "$who" rm -f "$check" >/dev/null; }
who=$(actor "$conf") || exit 1
# The files it names have to be good for a start, not only for a reload.
passphrase=no
[ -z "$(setting "$new" ssl_passphrase_command)" ] || passphrase=yes
check_tls "$(setting "$new" ssl_cert_file)" "$(setting "$new" ssl_key_file)" "$(setting "$new" ssl_ca_file)" "$(setting "$new" ssl_crl_file)" $passphrase ||
  { done_with; exit 1; }
# The whole configuration, with the new file in its place, is read by the server's own program before anything is changed.
now=$(as "$who" cat -- "$conf" && echo .) || { done_with; fail "cannot read $conf as $who"; }
now=${now%.}
rest=$(printf '%s' "$now" | grep -Fxv -- "$line"; echo .)
rest=${rest%.}
meta=$(as "$who" stat -L -c '%a %U %G' -- "$conf") || { done_with; fail "cannot look at $conf as $who"; }
set -- $meta
as "$who" rm -f "$check" >/dev/null
printf '%s\ninclude '"'%s'"'\n' "$rest" "$new" | replace "$check" "$1" "$2" "$3" || { done_with; fail "cannot write $check as $who"; }
if ! wrong=$(as "$owner" "$bin/postgres" -C port -D "$data" -c config_file="$check" 2>&1 </dev/null); then
  done_with
  wrong=$(swap "$wrong" "$check" "$conf")
  # Without what log_line_prefix puts before each line.
  fail "PostgreSQL would not start with these settings; nothing was changed: $(swap "$wrong" "$new" "$dir/pgfleet.conf" |
    sed -e 's/^.*LOG:  *//' -e 's/^.*FATAL:  *//' -e 's/^.*HINT:  */HINT: /' | tr '\n' ' ')"
fi
# What the files say is not all: ALTER SYSTEM wins over them, and a certificate of one place with the key of another is a server that does not start.
would() { # would NAME: its value at the next start; a file's name made absolute
  would_be=$(as "$owner" "$bin/postgres" -C "$1" -D "$data" -c config_file="$check" 2>/dev/null </dev/null)
  case $1,$would_be in ssl_*_file,[!/]*) would_be=$data/$would_be ;; esac
  printf '%s' "$would_be"
}
if [ "$(would ssl)" = on ]; then
  [ -z "$(would ssl_passphrase_command)" ] || passphrase=yes
  wrong=$(check_tls "$(would ssl_cert_file)" "$(would ssl_key_file)" "$(would ssl_ca_file)" "$(would ssl_crl_file)" $passphrase 2>&1) ||
    { done_with; fail "PostgreSQL would not start with these settings and those that win over them (ALTER SYSTEM, the end of $conf); nothing was changed: $wrong"; }
fi
as "$who" rm -f "$check" >/dev/null
chmod 644 "$new" && { sync "$new" 2>/dev/null || sync; } && mv -f "$new" "$dir/pgfleet.conf" || fail "cannot write $dir/pgfleet.conf"
sync "$dir" 2>/dev/null || :
if [ "$include" = yes ]; then
  printf '%s%s\n' "$rest" "$line" | replace "$conf" "$1" "$2" "$3" || fail "cannot write $conf"
fi
