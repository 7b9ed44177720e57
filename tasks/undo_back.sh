# Puts back the files of before a run, as they were copied. $1 the cluster's folder, $2 run, $3 data directory. By hand also $4 postgresql.conf, $5 binaries: then the
# files that later runs changed come back too, as they were before the first of these.
# What a rollback must not bring back is kept as it is now: an older list of revoked certificates, an authority that was removed, a certificate that is over or revoked.
# Standard input: serial numbers of revoked certificates, in hexadecimal digits without leading zeros, and files of certificates that clients refuse, one a line.
dir=$1 run=$2 data=$3 conf=${4-} bin=${5-}
revoked=$nl$(cat)$nl
since() { # since: names of the folders of the run and of those after it, what was kept first comes first
  reached=
  stat -c '%.9Y %n' -- */manifest 2>/dev/null | sort -k 1,1n -k 2,2 | while read -r _ f; do
    f=${f%/manifest}
    if [ "${f%%~*}" = "$run" ]; then reached=yes; fi
    [ -z "$reached" ] || printf '%s\n' "$f"
  done
}
together() { # together MANIFEST…: one of all, each file as it was first; what was changed last comes first, and after what was changed with it our settings file
  # shellcheck disable=SC2016 # awk's
  awk '
    FNR == 1 { n++ }
    {
      path = $0
      sub(/^[^ ]* [^ ]* [^ ]* [^ ]* /, "", path)
      if (path in had) next
      had[path]
      from = FILENAME
      sub(/manifest$/, "", from)
      line = ($1 == "-" ? "" : "../" from) $0 "\n"
      if (path ~ /\/pgfleet\.conf$/) ours[n] = line; else other[n] = other[n] line
    }
    END { for (; n > 0; n--) printf "%s%s", other[n], ours[n] }' "$@"
}
text() { # text FILE: its bytes; of a file that is not in our folder, as the server's OS user reads it
  case $1 in
  '') ;;
  "$dir"/*) cat -- "$1" ;;
  *) as "$owner" cat -- "$1" ;;
  esac 2>/dev/null </dev/null | head -c 16777216
}
before() { # before FOLDER PATH: the file that has what PATH was: its copy where the run changed it, "" where it was not there, else itself
  while read -r n mode user group path; do
    [ "$path" = "$2" ] || continue
    [ "$n" = - ] || printf '%s\n' "$1/$n"
    return
  done <"$1/manifest"
  printf '%s\n' "$2"
}
lists() { # lists CRLFILE: "number issuer" of each list in it, numbers as hexadecimal digits
  text "$1" | awk '/-----BEGIN X509 CRL-----/{p = 1} p{print | c} /-----END X509 CRL-----/{p = 0; close(c)}' \
    c="openssl crl -noout -crlnumber -issuer 2>/dev/null | sed 's/^[^=]*=//; s/^ *0x//' | paste -s -d ' ' -" - 2>/dev/null
}
revoking() { # revoking CRLFILE: as lists, without those that name nobody
  text "$1" | awk '/-----BEGIN X509 CRL-----/{p = 1} p{print | c} /-----END X509 CRL-----/{p = 0; close(c)}' \
    c="openssl crl -noout -crlnumber -issuer -text 2>/dev/null | sed -n 's/^crlNumber= *//; s/^0x//; /^[0-9A-F][0-9A-F]*\$/p; s/^issuer=//p; s/^No Revoked Certificates.*/-/p' | paste -s -d ' ' -" - 2>/dev/null | grep -v ' -$'
}
lower() { # lower A B: hexadecimal A is below B
  [ "${#1}" -lt "${#2}" ] || { [ "${#1}" -eq "${#2}" ] && [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort | head -n 1)" = "$1" ]; }
}
subjects() { text "$1" | openssl crl2pkcs7 -nocrl -certfile /dev/stdin 2>/dev/null | openssl pkcs7 -print_certs 2>/dev/null | grep '^subject'; }
keep() { # keep FILE NAME: the line of now goes into the file of before
  { grep -v "^$2 = " "$1"; grep "^$2 = " "$dir/pgfleet.conf"; } >"$1.kept"
  mv "$1.kept" "$1"
  kept="$kept $2"
}
careful() { # careful FOLDER FILE: a settings file of before, changed where it would bring back what must not come back
  kept=
  [ -e "$dir/pgfleet.conf" ] || return 0
  was=$(before "$1" "$(setting "$2" ssl_crl_file)") is=$(setting "$dir/pgfleet.conf" ssl_crl_file)
  ca_was=$(before "$1" "$(setting "$2" ssl_ca_file)") ca_is=$(setting "$dir/pgfleet.conf" ssl_ca_file)
  shift
  older=no
  if [ -n "$is" ] && [ "$was" != "$is" ]; then
    if [ -z "$was" ]; then
      [ -z "$ca_was" ] || older=yes
    elif lists "$is" | { while read -r b issuer; do
        a=$(lists "$was" | while read -r n i; do [ "$i" != "$issuer" ] || echo "$n"; done | head -n 1)
        if [ -z "$a" ] || lower "$a" "$b"; then exit 0; fi
      done; exit 1; }; then older=yes
    fi
  fi
  if [ -n "$ca_was" ] && [ -n "$ca_is" ] && [ "$ca_was" != "$ca_is" ] &&
    subjects "$ca_was" | { while IFS= read -r s; do subjects "$ca_is" | grep -Fxq -- "$s" || exit 0; done; exit 1; }; then
    echo "kept as it is now: ssl_ca_file (the one of before trusts an authority that was removed since)"
    keep "$1" ssl_ca_file
    older=yes
  fi
  if [ "$older" = yes ] && [ -n "$is" ]; then
    echo "kept as it is now: ssl_crl_file (the one of before is older)"
    keep "$1" ssl_crl_file
  fi
  was=$(setting "$1" ssl_cert_file)
  if [ -n "$was" ] && [ "$was" != "$(setting "$dir/pgfleet.conf" ssl_cert_file)" ] && ! openssl x509 -in "$was" -noout -checkend 0 >/dev/null 2>&1; then
    echo "kept as they are now: ssl_cert_file and ssl_key_file (the certificate of before is over)"
    keep "$1" ssl_cert_file
    keep "$1" ssl_key_file
    return
  elif [ -n "$was" ] && [ "$was" != "$(setting "$dir/pgfleet.conf" ssl_cert_file)" ]; then
    serial=$(openssl x509 -in "$was" -noout -serial)
    serial=${serial#*=}
    while case $serial in 0?*) ;; *) false ;; esac do serial=${serial#0}; done
    case $revoked in
    *"$nl$serial$nl"*)
      echo "kept as they are now: ssl_cert_file and ssl_key_file (the certificate of before was revoked)"
      keep "$1" ssl_cert_file
      keep "$1" ssl_key_file
      return
      ;;
    *"$nl$was$nl"*)
      echo "kept as they are now: ssl_cert_file and ssl_key_file (clients do not believe the authority of the certificate of before any more)"
      keep "$1" ssl_cert_file
      keep "$1" ssl_key_file
      return
      ;;
    esac
  fi
  # It is one of ours, and its authority is being replaced, or was.
  now=$(setting "$dir/pgfleet.conf" ssl_cert_file)
  case $was:$now in "$dir"/v/*:"$dir"/v/*) ;; *) return 0 ;; esac
  by=$(openssl x509 -in "$was" -noout -issuer 2>/dev/null) now=$(openssl x509 -in "$now" -noout -issuer 2>/dev/null)
  [ "$by" = "$now" ] || echo "its certificate is of another authority again (${by#issuer=}, not ${now#issuer=}): clients that believe only the latter refuse it; then: pgfleet run mtls"
}
files() { # files FOLDER FILE: what the run wrote over in the places that FILE names gets its bytes of before, the list first: it has one for every authority of now
  for name in ssl_crl_file ssl_ca_file; do
    at=$(setting "$2" "$name")
    case " $kept " in *" $name "*) continue ;; esac
    while read -r at_n at_mode at_user at_group at_path; do
      [ "$at_path" = "$at" ] && [ "$at_n" != - ] || continue
      if [ -n "$(lists "$1/$at_n")" ] || [ -n "$(subjects "$1/$at_n")" ]; then
        replace "$at" "$at_mode" "$at_user" "$at_group" <"$1/$at_n" || return 1
      fi
    done <"$1/manifest"
  done
}
named() { [ "$1" = "$(setting "$dir/pgfleet.conf" ssl_ca_file)" ] || [ "$1" = "$(setting "$dir/pgfleet.conf" ssl_crl_file)" ]; } # named PATH: by our settings
lowers() { # lowers A B: file A has a list of an issuer with a lower number than file B
  lists "$2" | { while read -r b issuer; do
      a=$(lists "$1" | while read -r n i; do [ "$i" != "$issuer" ] || echo "$n"; done | head -n 1)
      if [ -n "$a" ] && lower "$a" "$b"; then exit 0; fi
    done; exit 1; }
}
put() { # put FOLDER PATH <bytes: with the mode and owner that the manifest tells
  while read -r put_n put_mode put_user put_group put_path <&3; do
    [ "$put_path" != "$2" ] || { replace "$2" "$put_mode" "$put_user" "$put_group"; return; }
  done 3<"$1/manifest"
}
others() { # others FOLDER: where files of others, which their own configuration may name, stood in the place of copies, they stand again; on the way there is
  # a list for every authority of both.
  while read -r others_n mode user group roots; do
    case $others_n:$roots in -:*) continue ;; *:*.crt) ;; *) continue ;; esac
    ! named "$roots" || continue
    crl=${roots%.crt}.crl
    was=$(before "$1" "$crl")
    if [ -n "$was" ] && [ "$was" != "$crl" ]; then
      if lowers "$was" "$crl"; then
        echo "kept as they are now: $roots and $crl (the list of before is older)"
        continue
      fi
      { cat "$was" && text "$crl"; } | put "$1" "$crl" && put "$1" "$roots" <"$1/$others_n" && put "$1" "$crl" <"$was" || return 1
    else
      put "$1" "$roots" <"$1/$others_n" || return 1
    fi
  done <"$1/manifest"
}
gone() { # gone FOLDER: what the run has made in the data directory goes, unless the settings name it
  while read -r n mode user group path; do
    case $n:$path in -:*.crt | -:*.crl) ;; *) continue ;; esac
    ! named "$path" || continue
    actor "$path" && as "$who" rm -f -- "$path" >/dev/null || return 1
  done <"$1/manifest"
  # Key and certificate that were in the data directory before pgfleet's. They never left it.
  case $(setting "$dir/pgfleet.conf" ssl_cert_file) in "$data"/*) return 0 ;; esac
  as "$owner" /bin/sh -c '
    cd "$1" && [ -f server.key.before-pgfleet ] && [ -f server.crt.before-pgfleet ] && [ ! -L server.key.before-pgfleet ] && [ ! -L server.crt.before-pgfleet ] || exit 0
    mv -f -- server.key.before-pgfleet server.key && mv -f -- server.crt.before-pgfleet server.crt
  ' sh "$data" >/dev/null
}
usable() { # usable FILE: what it names can be started with; what cannot be is kept as it is now
  [ -e "$dir/pgfleet.conf" ] || return 0
  if ! check_tls "$(setting "$1" ssl_cert_file)" "$(setting "$1" ssl_key_file)" '' '' "$([ -z "$(setting "$1" ssl_passphrase_command)" ] || echo yes)" >/dev/null; then
    echo "kept as they are now: ssl_cert_file and ssl_key_file"
    keep "$1" ssl_cert_file
    keep "$1" ssl_key_file
  fi
  if ! check_tls '' '' "$(setting "$1" ssl_ca_file)" "$(setting "$1" ssl_crl_file)" no >/dev/null; then
    echo "kept as they are now: ssl_ca_file and ssl_crl_file"
    keep "$1" ssl_ca_file
    keep "$1" ssl_crl_file
  fi
}
may_be_before() { # may_be_before FOLDER: ends it when nothing of ours would be in force any more, and what would be then may not come back
  ours= conf_was=
  while read -r n mode user group path; do
    case $path in "$dir/pgfleet.conf") ours=$n ;; "$conf") conf_was=$1/$n ;; esac
  done <"$1/manifest"
  [ "$ours" = - ] && [ -e "$dir/pgfleet.conf" ] || return 0
  check=$conf.pgfleet-check
  actor "$conf" || exit 1
  text "${conf_was:-$conf}" | as "$who" /bin/sh -c '
    umask 077
    rm -f -- "$1" && { grep -v "# pgfleet: keep this line last" >"$1" || [ -e "$1" ]; } && { [ "$3" = "$2" ] || { chgrp "$(id -gn "$2")" "$1" && chmod 640 "$1"; }; }
  ' sh "$check" "$owner" "$who" >/dev/null || fail "cannot write $check"
  refuse() { as "$who" rm -f -- "$check" >/dev/null; rm -rf "$back"; fail "$*; nothing was changed"; }
  reads() { as "$owner" "$bin/postgres" -C "$1" -D "$data" -c config_file="$check" </dev/null; } # reads NAME: its value at the next start
  place() { # place NAME: a file's name made absolute
    value=$(reads "$1" 2>/dev/null)
    case $value in [!/]*) value=$data/$value ;; esac
    printf '%s' "$value"
  }
  ssl=$(reads ssl 2>/dev/null) || refuse "PostgreSQL would not start with the $conf of before: $(reads ssl 2>&1 | sed -e 's/^.*LOG:  *//' -e 's/^.*FATAL:  *//' | tr '\n' ' ')"
  if [ "$ssl" = on ]; then
    passphrase=no
    [ -z "$(reads ssl_passphrase_command 2>/dev/null)" ] || passphrase=yes
    cert=$(place ssl_cert_file) key=$(place ssl_key_file) ca=$(place ssl_ca_file) crl=$(place ssl_crl_file)
    if [ "$cert" = "$data/server.crt" ] && as "$owner" /bin/sh -c '[ -f "$1/server.crt.before-pgfleet" ] && [ -f "$1/server.key.before-pgfleet" ]' sh "$data" >/dev/null; then
      cert=$cert.before-pgfleet key=$data/server.key.before-pgfleet
    fi
    wrong=$(check_tls "$cert" "$key" '' '' "$passphrase" 2>&1) || refuse "the server could not start with its files of before: $wrong"
    text "$cert" | openssl x509 -noout -checkend 0 >/dev/null 2>&1 || refuse "the certificate of before, $cert, is over: clients refuse it. Put one there that is not, then again"
    serial=$(text "$cert" | openssl x509 -noout -serial)
    serial=${serial#*=}
    while case $serial in 0?*) ;; *) false ;; esac do serial=${serial#0}; done
    # Short numbers are not of one authority alone.
    case ${#serial}$revoked in
    [1-8]"$nl"*) ;;
    *"$nl$serial$nl"*) refuse "the certificate of before, $cert, was revoked: clients refuse it. Put another one there, then again" ;;
    esac
    ca_is=$(setting "$dir/pgfleet.conf" ssl_ca_file) crl_is=$(setting "$dir/pgfleet.conf" ssl_crl_file)
    ca_was=$(before "$1" "$ca") crl_was=$(before "$1" "$crl")
    # What the run itself has taken away, and no other since, comes back with it.
    if [ "$later" = yes ] && [ -n "$ca_is" ] && [ -n "$ca_was" ]; then
      known=$nl$(subjects "$ca_is" | tr -d ' ')$nl
      gone=$(subjects "$ca_was" | while IFS= read -r s; do
        case $known in *"$nl$(printf '%s' "$s" | tr -d ' ')$nl"*) ;; *) printf '%s' "${s#subject=}"; break ;; esac
      done)
      [ -z "$gone" ] || refuse "$ca, the ssl_ca_file of before, trusts an authority that was removed since ($gone). Take it out of that file first, then again"
    fi
    # A file of lists that runs have written over is seen to in others.
    if [ -n "$crl_is" ] && [ -n "$ca_was" ] && [ "$crl_was" = "$crl" ]; then
      trusted=$nl$(subjects "$ca_was" | tr -d ' ')$nl
      older=$(revoking "$crl_is" | while read -r b issuer; do
        case $trusted in *"$nl"subject="$(printf '%s' "${issuer#issuer=}" | tr -d ' ')$nl"*) ;; *) continue ;; esac
        a=
        [ -z "$crl_was" ] || a=$(lists "$crl_was" | while read -r n i; do [ "$i" != "$issuer" ] || echo "$n"; done | head -n 1)
        if [ -z "$a" ] || lower "$a" "$b"; then printf '%s' "${issuer#issuer=}"; break; fi
      done)
      [ -z "$older" ] || refuse "what $older has revoked since would be accepted again: ${crl:-ssl_crl_file, which was not set,} lacks its newest list. Put the one of $crl_is there (and see that ssl_crl_file names it), then again"
    fi
  fi
  as "$who" rm -f -- "$check" >/dev/null
}
theirs() { # theirs: of a configuration file what is not pgfleet's
  awk '/^# BEGIN pgfleet/ { ours = 1 } !ours && !/# pgfleet: keep this line last\r?$/ { sub(/\r$/, ""); print } /^# END pgfleet/ { ours = 0 }'
}
aside() { # aside PATH COPY: what others have changed in a file since is not lost
  [ -n "$conf" ] && [ "$(text "$1" | theirs | cksum)" != "$(theirs <"$2" | cksum)" ] || return 0
  text "$1" >"$dir/${1##*/}.before-rollback-$run" || return 1
  echo "$1 had changes that are not pgfleet's; as it was until now it is in $dir/${1##*/}.before-rollback-$run"
}
put_back() { # put_back FOLDER
  while read -r n mode user group path <&4; do
    case $path in
    "$dir/pgfleet.conf")
      # After the postgresql.conf that was changed with it, which may not include it any more.
      if [ "$n" = - ]; then
        # Never leave an include without its file: the server would not start.
        printf '# Written by pgfleet; nothing is set. postgresql.conf may include this file.\n' | replace "$path" 644 root root || return 1
      else
        cp "$1/$n" "$1/back" && careful "$1" "$1/back" && files "$1" "$1/back" && usable "$1/back" && replace "$path" "$mode" "$user" "$group" <"$1/back" || return 1
      fi ;;
    *.crt | *.crl) ;;
    *)
      if [ "$n" = - ]; then
        actor "$path" && as "$who" rm -f -- "$path" >/dev/null || return 1
      else
        aside "$path" "$1/$n" && replace "$path" "$mode" "$user" "$group" <"$1/$n" || return 1
      fi ;;
    esac
  done 4<"$1/manifest"
  others "$1" && gone "$1"
}
cd "$dir/.undo" 2>/dev/null || fail "nothing was kept of run $run in $dir/.undo"
back=$dir/.undo/.back manifests= last_first= later=no
for f in $(since); do
  if [ "${f%%~*}" != "$run" ]; then
    later=yes
    [ -n "$conf" ] || continue
  fi
  [ -e "$f/undone" ] || manifests="$manifests $f/manifest" last_first="$f $last_first"
done
[ -n "$manifests" ] || fail "nothing was kept of run $run in $dir/.undo"
# shellcheck disable=SC2086 # names of runs
rm -rf "$back" && mkdir "$back" && together $manifests >"$back/manifest" || fail "cannot write $back"
cd /
[ -z "$conf" ] || may_be_before "$back"
put_back "$back" || fail "could not put back everything of run $run; run again"
# The run itself is the last that counts as undone: cut off here, it can be put back again.
for f in $last_first; do : >"$dir/.undo/$f/undone"; done
rm -rf "$back"
