# Puts back the files of before a run, as they were copied. $1 the cluster's folder, $2 run, $3 data directory.
# What a rollback must not bring back is kept as it is now: an older list of revoked certificates, an authority that was removed, a certificate that is over or revoked.
# Standard input: serial numbers of revoked certificates, in hexadecimal digits without leading zeros, and files of certificates that clients refuse, one a line.
dir=$1 run=$2 data=$3
revoked=$nl$(cat)$nl
newest() { # newest: folders of the run that are not undone, the last first
  for f in "$dir/.undo/$run" "$dir/.undo/$run"~*; do
    [ -e "$f/manifest" ] && ! [ -e "$f/undone" ] || continue
    n=${f#"$dir/.undo/$run"} n=${n#"~"}
    printf '%s %s\n' "${n:-1}" "$f"
  done | sort -rn | cut -d ' ' -f 2-
}
text() { # text FILE: its bytes; of a file that is not in our folder, as the server's OS user reads it
  case $1 in
  '') ;;
  "$dir"/*) cat -- "$1" ;;
  *) as "$owner" cat -- "$1" ;;
  esac 2>/dev/null </dev/null | cat
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
  if ! check_tls "$(setting "$1" ssl_cert_file)" "$(setting "$1" ssl_key_file)" '' '' "$([ -z "$(setting "$1" ssl_passphrase_command)" ] || echo yes)"; then
    echo "kept as they are now: ssl_cert_file and ssl_key_file"
    keep "$1" ssl_cert_file
    keep "$1" ssl_key_file
  fi
  if ! check_tls '' '' "$(setting "$1" ssl_ca_file)" "$(setting "$1" ssl_crl_file)" no; then
    echo "kept as they are now: ssl_ca_file and ssl_crl_file"
    keep "$1" ssl_ca_file
    keep "$1" ssl_crl_file
  fi
}
put_back() { # put_back FOLDER
  while read -r n mode user group path; do
    case $path in
    "$dir/pgfleet.conf" | *.crt | *.crl) ;;
    *)
      if [ "$n" = - ]; then
        actor "$path" && as "$who" rm -f -- "$path" >/dev/null || return 1
      else
        replace "$path" "$mode" "$user" "$group" <"$1/$n" || return 1
      fi ;;
    esac
  done <"$1/manifest"
  # Our settings file last: postgresql.conf of before may not include it any more.
  while read -r n mode user group path; do
    [ "$path" = "$dir/pgfleet.conf" ] || continue
    if [ "$n" = - ]; then
      # Never leave an include without its file: the server would not start.
      printf '# Written by pgfleet; nothing is set. postgresql.conf may include this file.\n' | replace "$path" 644 root root || return 1
    else
      cp "$1/$n" "$1/back" && careful "$1" "$1/back" && files "$1" "$1/back" && usable "$1/back" && replace "$path" "$mode" "$user" "$group" <"$1/back" || return 1
    fi
  done <"$1/manifest"
  others "$1" && gone "$1" || return 1
  : >"$1/undone"
}
list=$(newest)
[ -n "$list" ] || fail "nothing was kept of run $run in $dir/.undo"
printf '%s\n' "$list" | { while IFS= read -r f; do put_back "$f" || exit 1; done; } || fail "could not put back everything of run $run; run again"
