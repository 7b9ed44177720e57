# What is done as the cluster's OS user. $1 data directory, $2 binaries, $3 configuration file or "", $4 "running" or "stopped", $5 "served", "noted" or "unseen", $6 process of a
# running one. The bytes of files come last, in a record "bodies", in the order of the records that say "follows": one process for all of them.
put() { printf '%s %s\n%s\n' "$1" "${#2}" "$2"; }
nl='
'
tab='	'
data=$1 state=$4 look=$5
cd "$data" 2>/dev/null || { put problem "cannot enter the data directory $data as $(id -un)"; exit 0; }
config=$3 port= socket= listen= files= shown=
if [ "$state" = running ]; then
  { read -r pid; read -r dir; read -r start; read -r port; read -r socket; read -r listen; read -r shm; read -r status; } <postmaster.pid
  [ "$pid" = "$6" ] || { put other ''; exit 0; }
  read -r major <PG_VERSION
  put major "$major"
  put pidfile "$port
$socket
$listen
$status"
  if [ -z "$socket" ]; then
    put problem "it has no Unix socket (unix_socket_directories is empty), so it cannot be asked; give it one"
    exit 0
  fi
  PGOPTIONS='-c role=none -c lc_messages=C -c statement_timeout=15s -c client_min_messages=error'
  # Up to 4096 bytes, some shells need no process to hand it over.
  answer=$("$2/psql" -X -A -t -q -w -h "$socket" -p "$port" -d postgres -c 'set search_path = pg_catalog' -f - 2>&1 <<'SQL'
with f as materialized (select seqno, sourcefile, sourceline, lower(name) as name, setting, applied, error from pg_file_settings),
  ours as materialized (select name from f where sourcefile ~ '^/etc/pgfleet/'),
  s as materialized (select * from pg_settings)
select E'server\t' || jsonb_build_object('version', current_setting('server_version_num')::int, 'standby', pg_is_in_recovery(),
  'load', extract(epoch from pg_conf_load_time())::text, 'start', extract(epoch from pg_postmaster_start_time())::text,
  'superuser', current_setting('is_superuser'), 'user', current_user)::text
union all select E'settings\t' || jsonb_object_agg(name, jsonb_build_object('value', setting, 'unit', unit, 'type', vartype, 'source', source,
  'file', coalesce(sourcefile, ''), 'line', coalesce(sourceline, 0), 'pending', pending_restart, 'context', context))::text
  from s where name ~ '^ssl' or sourcefile ~ '^/etc/pgfleet/' or name in ('config_file', 'hba_file', 'ident_file', 'data_directory',
  'listen_addresses', 'port', 'unix_socket_directories', 'password_encryption', 'hosts_file', 'cluster_name') or name in (select name from ours)
union all select E'lines\t' || coalesce(jsonb_agg(jsonb_build_object('file', f.sourcefile, 'line', f.sourceline, 'name', f.name, 'value', f.setting,
  'applied', f.applied, 'error', coalesce(f.error, ''), 'restart', coalesce(s.context = 'postmaster', false)) order by f.seqno), '[]')::text
  from f left join s on s.name = f.name where f.error is not null or f.name ~ '^ssl' or f.name in (select name from ours)
union all select E'hba\t' || coalesce(jsonb_agg(to_jsonb(r) order by line_number), '[]')::text from pg_hba_file_rules r
  where (type is null or error is not null) and coalesce(error, '') not like '%because SSL is disabled%'
union all select E'roles\t' || coalesce(jsonb_agg(jsonb_build_object('name', rolname, 'login', rolcanlogin, 'super', rolsuper, 'replication', rolreplication,
  'password', rolpassword is not null, 'scram', coalesce(rolpassword like 'SCRAM-SHA-256$%', false), 'expired', coalesce(rolvaliduntil < now(), false),
  'groups', (select coalesce(jsonb_agg(g.rolname order by g.rolname), '[]') from pg_auth_members m join pg_authid g on g.oid = m.roleid where m.member = a.oid))
  order by rolname), '[]')::text from pg_authid a where rolname !~ '^pg_'
union all select E'databases\t' || coalesce(jsonb_agg(datname order by datname), '[]')::text from pg_database where datallowconn
union all select E'sessions\t' || coalesce(jsonb_agg(s), '[]')::text from (select distinct u.rolname as user,
  case when backend_type = 'walsender' and d.datname is null then 'replication' else d.datname end as database,
  host(client_addr) as address, coalesce(ssl, false) as tls, coalesce(ssl_client_dn, '') as dn, coalesce(ssl_client_serial::text, '') as serial,
  coalesce(ssl_issuer_dn, '') as issuer
  from pg_stat_get_activity(null) join pg_authid u on u.oid = usesysid left join pg_database d on d.oid = datid
  where pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')
  order by 1, 2, 3, 4, 5, 6, 7) s
union all select E'replication\t' || jsonb_build_object('system', (select system_identifier::text from pg_control_system()),
  'conninfo', s.setting, 'context', context, 'source', source, 'pending', pending_restart, 'written', w.setting, 'file', w.sourcefile, 'line', w.sourceline)::text
  from s left join (select name, setting, sourcefile, sourceline from f where name = 'primary_conninfo' order by seqno desc limit 1) w using (name) where name = 'primary_conninfo'
union all select E'file\t' || kind || E'\t' || path from (
  select substring(name from 'ssl_(.*)_file') as kind, setting as path from s where name ~ '^ssl_(cert|key|ca|crl)_file$'
  union select substring(name from 'ssl_(.*)_file'), setting from f where (applied or name = 'ssl_crl_file') and name ~ '^ssl_(cert|key|ca|crl)_file$'
  union select 'dir', setting from s where name = 'ssl_crl_dir'
  union select 'text', setting from s where name in ('config_file', 'hba_file', 'ident_file')) f where coalesce(path, '') <> '';
SQL
)
  code=$?
  put sql "$code
$answer"
  # A note of what it was seen to serve holds until it reads its files again, or is started anew.
  if [ "$look" = noted ]; then
    for f in /etc/pgfleet/*/served; do
      [ -r "$f" ] && IFS= read -r line <"$f" || continue
      size=${line%% *} since=${line#* }
      load=${since%% *} since=${since#* }
      start=${since%% *}
      case $size$load$start in *[!0-9.]*) continue ;; esac
      [ "$line" = "$size $load $start $data" ] || continue
      case $answer in *"\"load\": \"$load\""*"\"start\": \"$start\""*) shown=$f shown_size=$((size + ${#line} + 1)) ;; esac
    done
  fi
  set -f
  IFS=$nl
  for line in $answer; do
    case $line in "file$tab"*) files=$files${line#*"$tab"}$nl ;; esac
  done
  unset IFS
  set +f
else
  put running no
  [ -n "$config" ] || config=$data/postgresql.conf
  ask() { # ask NAME: the value as a start would find it
    if value=$(timeout 10 "$2/postgres" -C "$1" -D "${config%/*}" -c config_file="$config" 2>&1 </dev/null); then
      printf '%s=%s\n' "$1" "$value"
    else
      printf '!%s\n' "$(printf '%s' "$value" | tr '\n' ' ')"
    fi
  }
  answer=$(for name in hba_file ident_file port listen_addresses ssl ssl_cert_file ssl_key_file ssl_ca_file ssl_crl_file password_encryption; do
    ask "$name" "$2" &
  done
  wait)
  case $answer in
  *'!'*) put problem "it is stopped and would not start: $(printf '%s\n' "$answer" | sed -n 's/^!//p' | head -n 1)" ;;
  esac
  files="text	$config
$(printf '%s\n' "$answer" | sed -n 's/^\(hba\|ident\)_file=\(..*\)/text	\2/p; s/^ssl_\([a-z]*\)_file=\(..*\)/\1	\2/p')"
  put stopped "$answer"
fi
# Certificates and lists in the data directory itself, whoever names them: a file is not put where somebody else's is, nor through a link.
beside= n=0
for f in *.crt *.crl; do
  case $f in *[!A-Za-z0-9._-]* | -*) continue ;; esac
  [ -e "$f" ] || [ -L "$f" ] || continue
  n=$((n + 1))
  [ "$n" -le 2000 ] || { put problem "there are more than 2000 certificates in its data directory"; break; }
  beside=$beside$f$nl
done
set -f
IFS=$nl
# One stat for all, and one look for private keys, which no certificate's file should hold, and which never leave.
set --
for line in $files; do
  case $line in
  "dir$tab"*) ;;
  *"$tab"/*) set -- "$@" "${line#*"$tab"}" ;;
  *"$tab"?*) set -- "$@" "$data/${line#*"$tab"}" ;; # the folder as root names it, who may have come to it through a link
  esac
done
for f in $beside; do set -- "$@" "$data/$f"; done
[ -z "$shown" ] || set -- "$@" "$shown"
metas= secret=
if [ $# != 0 ]; then
  metas=$(stat -L -c '%i:%.9Z %s %a %U %G %.9Y %n' -- "$@" 2>/dev/null)
  secret=$nl$(grep -ls -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' -- "$@")$nl
fi
meta() { # meta PATH: sets meta to what stat said of it, in $metas or now, and same to what changes whenever the file does
  same=
  for meta in $metas; do
    case $meta in
    *" $1") meta=${meta%" $1"}
       case $meta in *' '*' '*' '*' '*' '*' '*) ;; *) same=${meta%% *} meta=${meta#* }; return 0 ;; esac ;;
    esac
  done
  meta=$(stat -L -c '%s %a %U %G %.9Y' -- "$1" 2>&1)
}
noted() { # noted KEY: one of ours whose public half was noted when it was found good, and that has not changed since (see certificate_look.sh). Sets body
  case $1 in /etc/pgfleet/*/server.key) note=${1%.key}.pub ;; *) return 1 ;; esac
  case $same in *.*[1-9]*) ;; *) return 1 ;; esac
  [ -f "$note" ] && [ -r "$note" ] || return 1
  body=
  {
    IFS= read -r line && [ "$line" = "key $same" ] || return 1
    while IFS= read -r line; do body=$body$line$nl; done
  } <"$note"
  [ -z "$line" ] && case $body in "-----BEGIN PUBLIC KEY-----$nl"*"-----END PUBLIC KEY-----$nl") ;; *) false ;; esac
}
pem() { # pem PATH: a block in PEM form begins in it, near its top. What is none, DER for one, cannot be told: shells drop zero bytes
  lines=0
  while IFS= read -r line; do
    case $line in *-----BEGIN*) return 0 ;; esac
    lines=$((lines + 1))
    [ "$lines" -lt 1000 ] || return 1
  done <"$1"
  return 1
}
bodies= total=0
give() { # give RECORD KIND PATH: its metadata, and its bytes now or later
  if ! meta "$3"; then
    put "$1" "$2 missing $3
$meta"
    return
  fi
  case $2 in key) meta="0 ${meta#* }" ;; esac
  if ! [ -f "$3" ] || ! [ -r "$3" ]; then
    put "$1" "$2 unreadable $meta $3
"
    return
  fi
  case $2 in cert | ca | crl)
    if ! pem "$3"; then
      put "$1" "$2 found $meta $3
"
      return
    fi ;;
  esac
  case $2$secret in
  key*)
    noted "$3" || body=$(openssl pkey -in "$3" -passin pass: -pubout 2>&1 </dev/null)$nl
    case $body in
    *'-----BEGIN PUBLIC KEY'*) ;;
    *) if grep -q ENCRYPTED -- "$3"; then body=ENCRYPTED$nl; fi ;;
    esac ;;
  *"$nl$3$nl"*) body=$(sed '/-----BEGIN [A-Z ]*PRIVATE KEY-----/,/-----END [A-Z ]*PRIVATE KEY-----/d' <"$3")$nl ;;
  *)
    put "$1" "$2 follows $meta $3
"
    bodies=$bodies$3$nl total=$((total + ${meta%% *}))
    return ;;
  esac
  put "$1" "$2 found $meta $3
$body"
}
for item in $files; do
  kind=${item%%"$tab"*} path=${item#*"$tab"}
  case $path in /*) ;; *) path=$data/$path ;; esac
  case $kind in
  dir) ;;
  text)
    give config text "$path"
    # Where Patroni writes this file, its user's own stands beside it.
    case $path in *.conf) [ ! -e "${path%.conf}.base.conf" ] || give config text "${path%.conf}.base.conf" ;; esac ;;
  *) give file "$kind" "$path" ;;
  esac
done
n=0
for f in $beside; do
  n=$((n + 1))
  if [ -L "$f" ]; then
    put beside "ca link $data/$f
$(readlink -- "$f")"
  elif [ -f "$f" ] && [ "$n" -le 400 ] && meta "$data/$f" && [ "${meta%% *}" -le 1048576 ]; then
    give beside ca "$data/$f"
  else
    put beside "ca unreadable $(stat -c '%s %a %U %G %.9Y' -- "$f") $data/$f
"
  fi
done
# One that was cut off has another size.
[ -z "$shown" ] || meta "$shown" && [ "${meta%% *}" = "$shown_size" ] || shown=
[ -z "$shown" ] || give noted note "$shown"
if [ -n "$bodies" ]; then
  printf 'bodies %s\n' "$total"
  cat -- $bodies
  echo
fi
unset IFS
set +f
[ "$state$shown" = running ] || exit 0
if [ "$look" = unseen ]; then
  put unseen ''
  exit 0
fi
addresses=,
set -f
for at in $listen; do addresses=$addresses$at; done
set +f
case $addresses, in
,,) exit 0 ;;
*,'*',* | *,0.0.0.0,* | *,localhost,* | *,127.0.0.1,*) at=127.0.0.1 ;;
*,::,*) at='[::1]' ;;
*:*) at="[${listen%%,*}]" ;;
*) at=${listen%%,*} ;;
esac
# Whom that chains up to is not asked here: without the system's authorities it takes a third of the time.
served=$(SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null timeout 5 openssl s_client -starttls postgres -connect "$at:$port" -showcerts -nameopt oid,dump_all,dump_der,sep_comma_plus </dev/null 2>&1)
put served "$?
$served"
