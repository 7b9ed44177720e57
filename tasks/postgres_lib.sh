# Shared by the programs that change a cluster. Their $1 is the cluster's OS user, with its ids where they are known: USER or USER:UID:GID.
owner=${1%%:*}
case $1 in
*:*:*) as_for=$owner as_gid=${1##*:} as_uid=${1#*:} as_uid=${as_uid%:*} ;;
esac
shift
nl='
'
umask 077
say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
above_dir='' above_was='' # the folder that above has found out about last, and who acts in it
above() { # above PATH: sets who to "root" when root owns every folder above it and nobody else may write there, else to the owner of the first that is not
  if [ -n "$above_was" ] && [ "$above_dir" = "${1%/*}" ]; then who=$above_was; return; fi
  above_path=$1 above_dir=${1%/*} who=
  set --
  while above_path=${above_path%/*}; [ -n "$above_path" ]; do set -- "$above_path" "$@"; done
  above_all=$(stat -c '%U %g %a %n' -- / "$@")
  above_loose= above_seen=
  while read -r above_who above_gid above_mode above_name; do
    above_seen=$above_who
    if [ "$above_who" != root ]; then who=$above_who; break; fi
    case $above_mode in
    1???) case $above_mode in *[2367] | *[2367]?) above_loose=$above_name ;; esac ;;
    *[2367]) who=!$above_name; break ;;
    *[2367]?) if [ "$above_gid" != 0 ]; then who=!$above_name; break; fi ;;
    esac
  done <<ABOVE
$above_all
ABOVE
  # A here-document needs a file in some shells; unseen folders are not root's.
  [ -n "$above_seen" ] || fail "cannot look at $above_dir and the folders above it"
  # What is root's in a folder like /tmp stays; the names that are made there next to it are anybody's.
  [ -n "$who" ] || who=${above_loose:+!$above_loose}
  who=${who:-root}
  above_was=$who
}
servers() { # servers PATH: root's file is one of PostgreSQL's, whatever a server says of its places: it could say /etc/passwd
  [ -e "$1" ] || return 0
  case $1 in
  /etc/pgfleet/* | */pg_hba.conf | */pg_ident.conf | */postgresql.conf | */postgresql.base.conf) return 0 ;;
  esac
  case $(stat -c '%U %G' -- "$1") in
  "$owner "* | *" $(id -gn "$owner")") return 0 ;;
  esac
  say "$1 is root's and does not look like a file of PostgreSQL's: give it the group of $owner if it is (chgrp $(id -gn "$owner") $1)"
  return 1
}
actor() { # actor PATH: sets who to who acts in its folder. Root never works where somebody else could plant a link, at no hop of the way
  actor_path=$1 actor_hops=0
  if [ "$me" != root ]; then who=$me; return; fi
  while :; do
    above "$actor_path"
    case $who in
    root) ;;
    '!'*) say "${who#!} is writable by others; close it (chmod go-w) first"; return 1 ;;
    *) return ;;
    esac
    cd -P "${actor_path%/*}/" 2>/dev/null || { say "the folder of $actor_path is not there"; return 1; }
    actor_real=$PWD
    cd /
    if [ "$actor_real" != "${actor_path%/*}" ]; then
      actor_path=${actor_real%/}/${actor_path##*/}
    elif [ -L "$actor_path" ]; then
      actor_link=$(readlink "$actor_path")
      case $actor_link in /*) actor_path=$actor_link ;; *) actor_path=${actor_path%/*}/$actor_link ;; esac
    else
      servers "$actor_path"
      return
    fi
    actor_hops=$((actor_hops + 1))
    if [ "$actor_hops" -gt 20 ]; then say "$1 is a loop of links"; return 1; fi
  done
}
# A program for who acts. real PATH: sets path to where a link leads, and new. place PATH MODE OWNER GROUP USER: puts new, PATH.pgfleet-new, which USER has made, in the place of
# PATH. like, then the bytes into new, then put PATH: the same with mode, owner and group of path.
placing='
  umask 077
  wrong() { printf "%s\n" "$*" >&2; exit 1; }
  real() {
    path=$1
    [ ! -L "$1" ] || path=$(readlink -f "$1" 2>/dev/null) || path=$1
    new=$path.pgfleet-new
    if [ -e "$new" ] || [ -L "$new" ]; then rm -f "$new" || exit 1; fi
  }
  like() {
    mode=
    cp -p -- "$path" "$new" || { rm -f "$new"; wrong "cannot copy $path to $new"; }
    if ! [ -w "$new" ]; then mode=$(stat -c %a -- "$new") && chmod u+w "$new" || { rm -f "$new"; exit 1; }; fi
  }
  place() {
    if [ "$5" = root ]; then chown "$3:$4" "$new" || exit 1
    else chgrp "$4" "$new" 2>/dev/null
    fi
    mode=$2
    put "$1"
  }
  put() {
    [ -z "$mode" ] || chmod "$mode" "$new" || { rm -f "$new"; exit 1; }
    { sync "$new" 2>/dev/null || sync; } && mv -f "$new" "$1" || { rm -f "$new"; exit 1; }
    if command -v restorecon >/dev/null 2>&1; then restorecon "$1" 2>/dev/null; fi
    sync "${1%/*}" 2>/dev/null || :
  }
'
unwritable() { # unwritable PATH WHY: ends with why who could not replace it, in one line
  unwritable_at=$(readlink -f "$1" 2>/dev/null) || unwritable_at=$1
  unwritable_why=$(printf '%s' "$2" | tr '\n' ' ')
  if [ "$who" = root ] || [ "${unwritable_at%/*}" -ef "${1%/*}" ]; then fail "cannot write $1 as $who: $unwritable_why"; fi
  fail "cannot write $1 as $who: it is a link to $unwritable_at, and root follows no link that $who could have made: let $who write there (chown $who ${unwritable_at%/*} $unwritable_at), or put the file itself in the link's place ($unwritable_why)"
}
replace() { # replace PATH MODE OWNER GROUP <bytes: in one rename, as who may work there; through a link, its target
  actor "$1" || return 1
  as "$who" /bin/sh -c "$placing"'
    real "$1"
    cat >"$new" || { rm -f "$new"; wrong "cannot write $new"; }
    place "$path" "$2" "$3" "$4" "$5"
  ' sh "$1" "$2" "$3" "$4" "$who" >/dev/null
}
ask() { # ask BINDIR SOCKETDIR PORT [SQL], or <sql
  as "$owner" "$1/psql" -X -A -t -q -w -v ON_ERROR_STOP=1 -v VERBOSITY=terse -h "$2" -p "$3" -d postgres -c 'set search_path = pg_catalog' "${4:+-c}${4:--f-}"
}
# check_tls CERT KEY CA CRL PASSPHRASE [CHAIN]: as the server would at its next start; "" is not set, PASSPHRASE yes: a command gives it. CHAIN: where CERT leads.
# Prints what is wrong, or for a key that it has found good a note for note_key.
check_tls() {
  as "$owner" /bin/sh -c '
    wrong() { printf "%s\n" "$*" >&2; exit 1; }
    me=$6
    readable() { [ -f "$2" ] || wrong "$1 $2 is not there (as $me sees it)"; [ -r "$2" ] || wrong "$1 $2 cannot be read by $me"; }
    cert=$1 key=$2 ca=$3 crl=$4 chain=$7 note=
    if [ -n "$cert" ]; then
      readable certificate "$cert"
      readable "private key" "$key"
      of_cert=$(openssl x509 -in "$cert" -noout -pubkey 2>/dev/null) || wrong "certificate $cert is not a certificate in PEM form"
      set -- $(stat -L -c "%U %a %i:%.9Z" -- "$key") "$5"
      case $1,$2 in
      "$me",[0-7]00) ;;
      root,[0-7][04]0) ;;
      root,* | "$me",*) wrong "private key $key has mode $2: at most 0600 when $me owns it, 0640 when root does" ;;
      *) wrong "private key $key belongs to $1: the server wants $me or root" ;;
      esac
      if [ "$4" != yes ]; then
        of_key=$(openssl pkey -in "$key" -passin pass: -check -pubout 2>/dev/null)
        # Where openssl can, it also checks the halves of the key against each other.
        case $of_key in
        *"Key is valid"*-----BEGIN*) of_key="-----BEGIN${of_key#*-----BEGIN}" ;;
        *) of_key=$(openssl pkey -in "$key" -passin pass: -pubout 2>/dev/null) ;;
        esac
        if [ -z "$of_key" ]; then
          ! grep -q ENCRYPTED -- "$key" || wrong "private key $key has a passphrase, which a server cannot be asked for when it starts unattended: take it away (openssl pkey -in $key -out NEW, with mode 0600), or set ssl_passphrase_command with it"
          wrong "private key $key cannot be used: it is broken"
        fi
        [ "$of_cert" = "$of_key" ] || wrong "certificate $cert and private key $key do not belong together"
        note="key $3
$of_key"
      fi
      if [ -n "$chain" ]; then
        # OpenSSL before 1.1.0 exits with 0 whatever it found.
        out=$(openssl verify -purpose sslserver -CAfile "$chain" -untrusted "$cert" "$cert" 2>&1)
        case $out in
        *": OK") ;;
        *) wrong "certificate $cert is not accepted: $out" ;;
        esac
      fi
    fi
    if [ -n "$ca" ]; then
      readable "CA file" "$ca"
      some=
      while IFS= read -r line; do
        case $line in *"BEGIN "*CERTIFICATE*) some=yes; break ;; esac
      done <"$ca"
      [ -n "$some" ] && openssl crl2pkcs7 -nocrl -certfile "$ca" >/dev/null 2>&1 || wrong "CA file $ca holds a block that is no certificate in PEM form, or none"
    fi
    if [ -n "$crl" ]; then
      readable "CRL file" "$crl"
      awk "/-----BEGIN X509 CRL-----/{p = 1; n++} p{print | c} /-----END X509 CRL-----/{p = 0; if (close(c) != 0) exit 1} END{if (!n || p) exit 1}" \
        c="exec openssl crl -noout 2>/dev/null" "$crl" || wrong "CRL file $crl holds a block that is no list of revoked certificates in PEM form, or none"
    fi
    [ -z "$note" ] || printf "%s\n" "$note"
  ' sh "$1" "$2" "$3" "$4" "$5" "$owner" "${6-}"
}
# note_key KEY NOTE: the public half of a key in one of our versions, with what changes whenever the key's file does: looks open the key only when that differs.
# Cut off or missing it is no loss.
note_key() {
  note_version=${1#"$dir/v/"}
  note_version=${note_version%/server.key}
  case $note_version in '' | *[!0-9A-Za-z]*) return ;; esac
  [ "$1" = "$dir/v/$note_version/server.key" ] && printf '%s\n' "$2" >"${1%.key}.pub" && chmod 644 "${1%.key}.pub" || :
}
setting() { # setting FILE NAME: its value in a file that RenderSettings wrote
  sed -n "s/^$2 = '\(.*\)'\$/\1/p" "$1" | tail -n 1 | sed "s/''/'/g; s/\\\\\\\\/\\\\/g"
}
