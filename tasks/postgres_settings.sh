# Replaces our settings file of a cluster and has postgresql.conf include it last, keeping both as they were before. stdin: the new file.
# $1 the cluster's folder, $2 postgresql.conf, $3 data directory, $4 binaries, $5 run, $6 the include line, $7 yes: write that line at the end.
# $8 where the certificate has to lead, or "". $9 known: what follows are the files that the next start would use: certificate, key, CA file, CRL file ("" is not looked at), passphrase command (yes, no);
# paths: besides, nothing is set but names of files, with which no configuration can be wrong; ask: the server's program tells.
dir=$1 conf=$2 data=$3 bin=$4 line=$6 include=$7 chain=$8 files=$9
new=$dir/.pgfleet.conf.new check=$conf.pgfleet-check
[ -d "$dir" ] || { mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" || fail "cannot make $dir"; }
if [ -e "$new" ] || [ -L "$new" ]; then rm -f "$new" || fail "cannot write $new"; fi
umask 022
cat >"$new" || fail "cannot write $new"
umask 077
fresh=$new
if [ "$include" = yes ]; then keep_before "$5" "$dir/pgfleet.conf" "$conf"; else keep_before "$5" "$dir/pgfleet.conf"; fi
shift 9
who=
[ "$files" = paths ] || actor "$conf" || exit 1
swap() { # swap TEXT FROM TO: no pattern, whatever is in the paths
  left=$1
  while case $left in *"$2"*) ;; *) false ;; esac; do
    printf '%s' "${left%%"$2"*}$3"
    left=${left#*"$2"}
  done
  printf '%s' "$left"
}
# refuse WORD…: nothing is left behind; who made $check, unless it is "", has it taken away.
refuse() { rm -f "$new"; [ -z "$who" ] || as "$who" rm -f "$check" >/dev/null; fail "$*"; }
reads() { become "$owner" "$bin/postgres" -C "$1" -D "$data" -c config_file="$check" 2>&1 </dev/null; } # reads NAME, in a subshell: its value at the next start
# The whole configuration, with the new file in its place, is read by the server's own program before anything is changed.
if [ -n "$who" ]; then
  wrong=$(become "$who" /bin/sh -c '
    umask 077
    refused=0
    if [ -e "$2" ] || [ -L "$2" ]; then rm -f "$2" || exit 3; fi
    { grep -Fxv -- "$3" "$1"; printf "\ninclude '"'%s'"'\n" "$4"; } >"$2" || exit 3
    if [ "$6" != "$5" ]; then chgrp "$(id -gn "$5")" "$2" && chmod 640 "$2" && exit 0 || exit 3; fi
    # With a time zone of its own it does not look for that of the host, which it is not asked about.
    TZ=UTC "$7/postgres" -C port -D "$8" -c config_file="$2" 2>&1 </dev/null || refused=4
    [ "$9" = ask ] || rm -f "$2"
    exit $refused
  ' sh "$conf" "$check" "$line" "$new" "$owner" "$who" "$bin" "$data" "$files")
  code=$?
  if [ "$code" = 0 ] && [ "$who" != "$owner" ]; then wrong=$(reads port) || code=4; fi
  case $code in
  0) ;;
  4)
    wrong=$(swap "$wrong" "$check" "$conf")
    # Without what log_line_prefix puts before each line.
    refuse "PostgreSQL would not start with these settings; nothing was changed: $(swap "$wrong" "$new" "$dir/pgfleet.conf" |
      sed -e 's/^.*LOG:  *//' -e 's/^.*FATAL:  *//' -e 's/^.*HINT:  */HINT: /' | tr '\n' ' ')"
    ;;
  *) refuse "cannot read $conf or write $check as $who" ;;
  esac
  if [ "$who" = "$owner" ] && [ "$files" != ask ]; then who=; fi # then it is gone already
fi
# What only OpenSSL can judge, PostgreSQL finds out when it starts, and at a reload says in its log alone.
known() { # known NAME VALUE WORD…: WORD… takes the value
  known_what="$1 = $2"
  case $2 in '' | -*) return ;; esac
  shift 2
  "$@" >/dev/null 2>&1 </dev/null || refuse "PostgreSQL would not start with these settings; nothing was changed: $known_what: this host's OpenSSL ($(openssl version)) does not know it"
}
if [ "$files" != paths ]; then
  while IFS= read -r name; do
    value=${name#*= \'} name=${name%% *}
    value=${value%\'}
    case $name in
    ssl_ciphers) known "$name" "$value" openssl ciphers "$value" ;;
    ssl_tls13_ciphers) known "$name" "$value" openssl ciphers -ciphersuites "$value" ;;
    ssl_ecdh_curve) known "$name" "$value" openssl ecparam -name "$value" -noout ;;
    ssl_groups)
      while [ -n "$value" ]; do
        case ${value%%:*} in X25519 | X448 | ffdhe* | *MLKEM* | P-*) ;; *) known "$name" "${value%%:*}" openssl ecparam -name "${value%%:*}" -noout ;; esac
        case $value in *:*) value=${value#*:} ;; *) value= ;; esac
      done
      ;;
    esac
  done <"$new"
fi
# The files that it would use have to be good for a start, not only for a reload.
if [ "$files" = ask ]; then
  place() { # place NAME: a file's name made absolute
    value=$(reads "$1")
    case $value in [!/]*) value=$data/$value ;; esac
    printf '%s' "$value"
  }
  passphrase=no
  [ -z "$(reads ssl_passphrase_command)" ] || passphrase=yes
  set -- '' '' '' '' no
  [ "$(reads ssl)" != on ] || set -- "$(place ssl_cert_file)" "$(place ssl_key_file)" "$(place ssl_ca_file)" "$(place ssl_crl_file)" $passphrase
fi
if [ -n "$1$3$4" ]; then
  wrong=$(as_exec=exec; check_tls "$1" "$2" "$3" "$4" "$5" "$chain" 2>&1) || refuse "PostgreSQL would not start with these settings and those that win over them (ALTER SYSTEM, the end of $conf); nothing was changed: $wrong"
  [ -z "$wrong" ] || note_key "$2" "$wrong"
fi
[ -z "$who" ] || as "$who" rm -f "$check" >/dev/null
{ [ -z "$fresh" ] || durable "$fresh"; } && mv -f "$new" "$dir/pgfleet.conf" || fail "cannot write $dir/pgfleet.conf"
sync "$dir" 2>/dev/null || :
if [ "$include" = yes ]; then
  actor "$conf" || exit 1
  wrong=$(as "$who" /bin/sh -c "$placing"'
    real "$1"
    like
    { { grep -Fxv -- "$2" "$path" || [ $? = 1 ]; } && printf "%s\n" "$2"; } >"$new" || { rm -f "$new"; wrong "cannot write $new"; }
    put "$path"
  ' sh "$conf" "$line" 2>&1 >/dev/null) || unwritable "$conf" "$wrong"
fi
