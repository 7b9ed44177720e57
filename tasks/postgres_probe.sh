# Finds every PostgreSQL cluster of this host, running or not, and tells what it is. Changes nothing.
# $1 "known": only clusters of the OS users that packages make for PostgreSQL are asked, others are only named; "any": all are.
# $2…: names of clients to resolve. Prints records "name length\nbytes\n"; a record "cluster" opens a cluster, "end" closes the whole. What a cluster's OS
# user could forge is one record "inside", whose bytes are records again: nothing in it can pass for what root saw.
# What belongs to a cluster's OS user is read as that user: root would follow a link planted there. Anybody can run a process named postgres, so a
# program found through one is never run as somebody else than who runs that process.
LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin:/usr/bin:/bin
# The machine's own authorities take openssl longer to load than all the rest.
SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export LC_ALL PATH SSL_CERT_FILE SSL_CERT_DIR
me=$(id -un)
whose=${1:-known}
[ $# = 0 ] || shift
nl='
'
put() { printf '%s %s\n%s\n' "$1" "${#2}" "$2"; }
as_for=
ids() { # ids USER: sets as_uid and as_gid
  [ "$as_for" != "$1" ] || return 0
  as_line=$(getent passwd "$1") || return 1
  as_line=${as_line#*:*:}
  as_uid=${as_line%%:*} as_line=${as_line#*:} as_for=$1
  as_gid=${as_line%%:*}
}
as() { # as USER WORD…
  as_user=$1
  shift
  if [ "$as_user" = "$me" ]; then "$@"
  elif [ "${PGFLEET_SWITCHER:-}" = setpriv ] && ids "$as_user"; then setpriv --reuid "$as_uid" --regid "$as_gid" --init-groups -- "$@"
  elif command -v runuser >/dev/null 2>&1; then runuser -u "$as_user" -- "$@"
  else su -s /bin/sh "$as_user" -c 'exec "$@"' sh "$@"
  fi
}

# What is done as the cluster's OS user. $1 data directory, $2 binaries, $3 configuration file or "", $4 "running" or "stopped".
reader=$(cat <<'READER'
put() { printf '%s %s\n%s\n' "$1" "${#2}" "$2"; }
meta() { # meta PATH: sets meta to what stat said of it, in $metas or now
  while IFS= read -r meta; do
    case $meta in
    *" $1") meta=${meta% "$1"}
       case $meta in *' '*' '*' '*' '*' '*) ;; *) return 0 ;; esac ;;
    esac
  done <<METAS
$metas
METAS
  meta=$(stat -L -c '%s %a %U %G %.9Y' -- "$1" 2>&1)
}
give() { # give RECORD KIND PATH: its metadata, then its bytes
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
  case $2 in
  key) body=$(openssl pkey -in "$3" -passin pass: -pubout 2>&1 </dev/null && echo .)
     body=${body%.} ;;
  text) printf '%s %s\n' "$1" "$((${#2} + 9 + ${#meta} + ${#3} + ${meta%% *}))"
     printf '%s found %s %s\n' "$2" "$meta" "$3"
     head -c "${meta%% *}" <"$3"
     echo
     return ;;
  *) body=$(sed '/-----BEGIN [A-Z ]*PRIVATE KEY-----/,/-----END [A-Z ]*PRIVATE KEY-----/d' <"$3" && echo .)
     body=${body%.} ;;
  esac
  put "$1" "$2 found $meta $3
$body"
}
cd "$1" 2>/dev/null || { put problem "cannot enter the data directory $1 as $(id -un)"; exit 0; }
config=$3 port= socket= listen=
if [ "$4" = running ]; then
  { read -r pid; read -r dir; read -r start; read -r port; read -r socket; read -r listen; read -r shm; read -r status; } <postmaster.pid
  put pidfile "$port
$socket
$listen
$status"
  if [ -z "$socket" ]; then
    put problem "it has no Unix socket (unix_socket_directories is empty), so it cannot be asked; give it one"
    exit 0
  fi
  answer=$(env -i PATH="$PATH" LC_ALL=C PGAPPNAME=pgfleet PGCONNECT_TIMEOUT=5 PGCLIENTENCODING=UTF8 \
    PGOPTIONS='-c search_path=pg_catalog -c lc_messages=C -c statement_timeout=15s -c client_min_messages=error' \
    timeout 20 "$2/psql" -X -A -t -q -w -h "$socket" -p "$port" -d postgres -f - 2>&1 <<'SQL'
\set QUIET on
with f as materialized (select seqno, sourcefile, sourceline, lower(name) as name, setting, applied, error from pg_file_settings),
  ours as materialized (select name from f where sourcefile ~ '^/etc/pgfleet/'),
  s as materialized (select * from pg_settings)
select 'server' || chr(9) || jsonb_build_object('version', current_setting('server_version_num')::int, 'standby', pg_is_in_recovery(),
  'load', extract(epoch from pg_conf_load_time())::text, 'start', extract(epoch from pg_postmaster_start_time())::text,
  'superuser', current_setting('is_superuser'), 'user', current_user)::text
union all select 'settings' || chr(9) || jsonb_object_agg(name, jsonb_build_object('value', setting, 'unit', unit, 'type', vartype, 'source', source,
  'file', coalesce(sourcefile, ''), 'line', coalesce(sourceline, 0), 'pending', pending_restart, 'context', context))::text
  from s where name ~ '^ssl' or sourcefile ~ '^/etc/pgfleet/' or name in ('config_file', 'hba_file', 'ident_file', 'data_directory',
  'listen_addresses', 'port', 'unix_socket_directories', 'password_encryption', 'hosts_file', 'cluster_name') or name in (select name from ours)
union all select 'lines' || chr(9) || coalesce(jsonb_agg(jsonb_build_object('file', f.sourcefile, 'line', f.sourceline, 'name', f.name, 'value', f.setting,
  'applied', f.applied, 'error', coalesce(f.error, ''), 'restart', coalesce(s.context = 'postmaster', false)) order by f.seqno), '[]')::text
  from f left join s on s.name = f.name where f.error is not null or f.name ~ '^ssl' or f.name in (select name from ours)
union all select 'hba' || chr(9) || coalesce(jsonb_agg(to_jsonb(r) order by line_number), '[]')::text from pg_hba_file_rules r
  where (type is null or error is not null) and coalesce(error, '') not like '%because SSL is disabled%'
union all select 'roles' || chr(9) || coalesce(jsonb_agg(jsonb_build_object('name', rolname, 'login', rolcanlogin, 'super', rolsuper, 'replication', rolreplication,
  'password', rolpassword is not null, 'scram', coalesce(rolpassword like 'SCRAM-SHA-256$%', false), 'expired', coalesce(rolvaliduntil < now(), false),
  'groups', (select coalesce(jsonb_agg(g.rolname order by g.rolname), '[]') from pg_auth_members m join pg_authid g on g.oid = m.roleid where m.member = a.oid))
  order by rolname), '[]')::text from pg_authid a where rolname !~ '^pg_'
union all select 'databases' || chr(9) || coalesce(jsonb_agg(datname order by datname), '[]')::text from pg_database where datallowconn
union all select 'sessions' || chr(9) || coalesce(jsonb_agg(s), '[]')::text from (select distinct usename as user,
  case when backend_type = 'walsender' and datname is null then 'replication' else datname end as database,
  host(client_addr) as address, coalesce(ssl, false) as tls, coalesce(client_dn, '') as dn
  from pg_stat_activity left join pg_stat_ssl using (pid) where pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')
  and usename is not null order by 1, 2, 3, 4, 5) s
union all select 'file' || chr(9) || kind || chr(9) || case when path like '/%' then path else current_setting('data_directory') || '/' || path end from (
  select substring(name from 'ssl_(.*)_file') as kind, setting as path from s where name in ('ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file')
  union select substring(name from 'ssl_(.*)_file'), setting from f where applied and name in ('ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file')
  union select 'dir', setting from s where name = 'ssl_crl_dir'
  union select 'text', setting from s where name in ('config_file', 'hba_file', 'ident_file')) f where coalesce(path, '') <> '';
SQL
)
  code=$?
  put sql "$code
$answer"
  files=$(printf '%s\n' "$answer" | sed -n 's/^file	//p')
else
  put running no
  [ -n "$config" ] || config=$1/postgresql.conf
  answer=
  files="text	$config"
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
  files="$files
$(printf '%s\n' "$answer" | sed -n 's/^\(hba\|ident\)_file=\(..*\)/text	\2/p; s/^ssl_\([a-z]*\)_file=\(..*\)/\1	\2/p')"
  put stopped "$answer"
fi
# One stat for all; what is missing, give asks about again.
metas=$(printf '%s\n' "$files" | { set --
  while IFS='	' read -r kind path; do
    case $kind:$path in :* | dir:*) ;; *:/*) set -- "$@" "$path" ;; esac
  done
  [ $# = 0 ] || stat -L -c '%s %a %U %G %.9Y %n' -- "$@" 2>/dev/null; })
printf '%s\n' "$files" | while IFS='	' read -r kind path; do
  case $path in
  /*) ;;
  *) path=$1/$path ;;
  esac
  case $kind in
  '' | dir) ;;
  text) give config text "$path" ;;
  *) give file "$kind" "$path" ;;
  esac
done
[ "$4" = running ] || exit 0
case ,$(printf '%s' "$listen" | tr -d ' '), in
,,) exit 0 ;;
*,'*',* | *,0.0.0.0,* | *,localhost,* | *,127.0.0.1,*) at=127.0.0.1 ;;
*,::,*) at='[::1]' ;;
*:*) at="[${listen%%,*}]" ;;
*) at=${listen%%,*} ;;
esac
served=$(timeout 5 openssl s_client -starttls postgres -connect "$at:$port" -showcerts -nameopt oid,dump_all,dump_der,sep_comma_plus </dev/null 2>&1)
put served "$?
$served"
READER
)

put host "now=$(date +%s)"

# Running servers: processes named postgres whose parent is none, with a postmaster.pid that names them.
servers= all=' '
for d in /proc/[0-9]*; do
  { read -r line <"$d/stat"; } 2>/dev/null || continue
  case $line in *' (postgres) '* | *' (postmaster) '* | *' (edb-postgres) '*) ;; *) continue ;; esac
  rest=${line##*) }
  rest=${rest#* }
  servers="$servers ${d#/proc/}:${rest%% *}"
  all="$all${d#/proc/} "
done
seen= claimed=
known() { # known DIR: was told already
  printf '%s\n' "$seen" | { while IFS= read -r k; do [ -n "$k" ] && [ "$k" -ef "$1" ] && exit 0; done; exit 1; }
}
# version DIR: sets major, and first to the first line of postmaster.pid, both read as $owner within a short time.
version() {
  first=$(as "$owner" timeout 5 /bin/sh -c 'head -c 64 -- "$1/PG_VERSION"; echo; head -c 256 -- "$1/postmaster.pid"' sh "$1" 2>/dev/null </dev/null)
  major=${first%%"$nl"*} first=${first#*"$nl"}
  first=${first#"$nl"}
  first=${first%%"$nl"*}
  case $major in *[!0-9.]*) major= ;; esac
}
# owned DIR: sets uid, owner and group. Never root's: PostgreSQL does not run as root.
owned() {
  case $1 in *"$nl"*) return 1 ;; esac
  about=$(stat -L -c '%u %U %G' -- "$1" 2>/dev/null) || return 1
  uid=${about%% *} owner=${about#* }
  group=${owner#* } owner=${owner%% *}
  [ "$uid" != 0 ] && [ "$owner" != UNKNOWN ] || return 1
  [ "${PGFLEET_SWITCHER:-}" != setpriv ] || ids "$owner" # here, so that it is asked for once
}
# runs PID: its real and effective user id.
runs() {
  while read -r key real effective key_rest; do
    if [ "$key" = Uid: ]; then
      echo "$real $effective"
      return
    fi
  done 2>/dev/null <"/proc/$1/status"
}
tell() { # tell DIR BINDIR CONFIG STATE PID: of a cluster of user $owner
  seen="$seen
$1"
  stranger=
  case $whose:$owner in known:postgres | known:enterprisedb | known:pgsql | any:*) ;; *) stranger=yes ;; esac
  if [ "$stranger" = yes ]; then
    put cluster "data=$1
config=$3
state=$4
user=$owner
stranger=yes"
    return
  fi
  [ "$4" = running ] || version "$1"
  bin=$2
  if [ -z "$bin" ]; then
    for b in "/usr/lib/postgresql/$major/bin" "/usr/pgsql-$major/bin" /usr/local/pgsql/bin /usr/local/bin /usr/bin; do
      if [ -x "$b/postgres" ]; then bin=$b; break; fi
    done
  fi
  managed=
  [ -e "$1/patroni.dynamic.json" ] || [ -e "${3%/*}/postgresql.base.conf" ] || [ -e "$1/postgresql.base.conf" ] && managed=patroni
  put cluster "data=$1
config=$3
state=$4
pid=$5
major=$major
bin=$bin
user=$owner
group=$group
managed=$managed"
  if [ -z "$major" ]; then put problem "its data directory $1 has no PG_VERSION that can be read"; return; fi
  if [ -z "$bin" ]; then put problem "no postgres program of version $major was found for $1"; return; fi
  if [ "$owner" != "$me" ] && [ "$me" != root ]; then put problem "it belongs to $owner; working as $me only (become: true is needed)"; return; fi
  inside=$(as "$owner" /bin/sh -c "$reader" sh "$1" "$bin" "$3" "$4" </dev/null | head -c 33554432; echo .)
  put inside "${inside%.}"
  # Its own configuration file needs no further look.
  for conf in /etc/postgresql/*/*/postgresql.conf; do
    case $4:$inside in running:*"file	text	$conf$nl"*) claimed="$claimed$owner $conf$nl" ;; esac
  done
}
for p in $servers; do
  pid=${p%%:*}
  case $all in *" ${p##*:} "*) continue ;; esac
  dir=$(readlink "/proc/$pid/cwd") && exe=$(readlink "/proc/$pid/exe") && owned "$dir" || continue
  # As PostgreSQL itself does: the data directory belongs to who runs it.
  [ "$(runs "$pid")" = "$uid $uid" ] || continue
  [ "/proc/$pid/cwd/postmaster.pid" -ef "$dir/postmaster.pid" ] || continue
  version "$dir"
  [ "$first" = "$pid" ] || continue
  exe=${exe% (deleted)}
  tell "$dir" "${exe%/*}" '' running "$pid"
done

# Stopped ones: Debian's configuration folders, then data directories of the usual layouts and of service files.
for conf in /etc/postgresql/*/*/postgresql.conf; do
  [ -f "$conf" ] && keeper=$(stat -c %U -- "${conf%/*}") && [ "$keeper" != UNKNOWN ] || continue
  if [ "$keeper" != "$me" ] && [ "$me" != root ]; then continue; fi
  case $nl$claimed in *"$nl$keeper $conf$nl"*) continue ;; esac
  dir=$(as "$keeper" timeout 5 sed -n "s/^[[:space:]]*[dD][aA][tT][aA]_[dD][iI][rR][eE][cC][tT][oO][rR][yY][[:space:]]*=*[[:space:]]*'\([^']*\)'.*/\1/p" "$conf" </dev/null | tail -n 1)
  if [ -z "$dir" ]; then dir=${conf%/postgresql.conf}; dir=/var/lib/postgresql/${dir#/etc/postgresql/}; fi
  known "$dir" && continue
  # Whoever writes the configuration chooses the data directory: only his own, or any if that is root.
  if ! owned "$dir"; then
    [ "$keeper" = root ] || [ "$keeper" = postgres ] || continue
    put cluster "data=$dir
config=$conf
state=stopped
user=$keeper"
    put problem "its data directory $dir is not there, or does not belong to a user who runs PostgreSQL"
    continue
  fi
  if [ "$keeper" != root ] && [ "$keeper" != "$owner" ]; then continue; fi
  tell "$dir" '' "$conf" stopped ''
done
places=$(sed -n 's/^[[:space:]]*\(Environment=\)\{0,1\}"\{0,1\}PGDATA=\([^"]*\)"\{0,1\}[[:space:]]*$/\2/p' /etc/systemd/system/postgresql*.service \
  /etc/systemd/system/postgresql*.service.d/*.conf /usr/lib/systemd/system/postgresql*.service /etc/sysconfig/pgsql/* 2>/dev/null)
IFS='
'
for dir in $places /var/lib/pgsql/data /var/lib/pgsql/*/data /var/lib/postgresql/data /var/lib/postgresql/*/data /var/lib/postgresql/*/docker; do
  unset IFS
  [ -e "$dir/PG_VERSION" ] && [ -e "$dir/postgresql.conf" ] || continue
  known "$dir" || ! owned "$dir" || tell "$dir" '' "$dir/postgresql.conf" stopped ''
done
unset IFS

# What pgfleet keeps for each cluster: its settings file and the manifests of runs that were not proved.
for dir in /etc/pgfleet/*/; do
  dir=${dir%/}
  [ -e "$dir/pgfleet.conf" ] || [ -d "$dir/.undo" ] || continue
  if [ -e "$dir/pgfleet.conf" ]; then
    ours=$(cat "$dir/pgfleet.conf" && echo .) || continue
    put ours "$dir $(stat -c '%.9Y' "$dir/pgfleet.conf")
${ours%.}"
  fi
  for undo in "$dir"/.undo/*/; do
    undo=${undo%/} state=unproved proving=
    [ -e "$undo/manifest" ] || continue
    if [ -e "$undo/proving" ]; then read -r proving <"$undo/proving"; fi
    if [ -e "$undo/proved" ]; then state=proved; fi
    if [ -e "$undo/undone" ]; then state=undone; fi
    put undo "$dir ${undo##*/} $state $proving"
  done
done
for name; do
  put address "$name
$(timeout 5 getent ahosts "$name" 2>&1 | sed -n 's/^\([0-9a-fA-F.:]*\)[[:space:]].*/\1/p' | sort -u)"
done
put end ''
