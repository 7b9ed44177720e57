# Finds every PostgreSQL cluster of this host, running or not, and tells what it is. Changes nothing.
# $1 the program of postgres_reader.sh. $2 "known": only clusters of the OS users that packages make for PostgreSQL are asked, others are only named; "any": all are.
# $3 "served": what they serve is seen by a TLS connection; "noted": or by a note of it; "unseen". $4: how many servers this has told of before, when they were all that there was; then, of each, process, its
# start, user and group ids, user, group, programs, data directory: they alone are looked at if they still run. Then names of clients to resolve. Prints records "name length\nbytes\n"; a record "cluster" opens a cluster, "end" closes the whole. What a cluster's OS
# user could forge is one record "inside", whose bytes are records again: nothing in it can pass for what root saw.
# What belongs to a cluster's OS user is read as that user: root would follow a link planted there. Anybody can run a process named postgres, so a
# program found through one is never run as somebody else than who runs that process.
reader=$1 whose=$2 served=$3 again=$4
shift 4
nl='
'
put() { printf '%s %s\n%s\n' "$1" "${#2}" "$2"; }
# asked SECONDS BYTES WORD…: what WORD… prints as $owner. Root waits for a process of its own alone: any other could be stopped, or leave one behind that
# keeps the pipe.
asked() {
  asked_seconds=$1 asked_bytes=$2
  shift 2
  { as "$owner" "$@" </dev/null & } | timeout "$asked_seconds" head -c "$asked_bytes"
}

put host "now=$(date +%s)"

# process PID: it is a server's. Sets parent, and start, which no other process of this number has.
process() {
  # A host has hundreds of them, and shells read one byte at a time: the name alone first.
  { read -r line <"/proc/$1/comm"; } 2>/dev/null || return 1
  case $line in postgres | postmaster | edb-postgres) ;; *) return 1 ;; esac
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # numbers
  set -- ${line##*) }
  parent=$2 start=${20}
}
seen= claimed= late=' ' # late: users of whom something did not answer in time; they are asked no more
known() { # known DIR: was told already
  set -f
  IFS=$nl
  for k in $seen; do
    [ ! "$k" -ef "$1" ] || { unset IFS; set +f; return 0; }
  done
  unset IFS
  set +f
  return 1
}
# version DIR: sets major, read as $owner within a short time.
version() {
  case $late in *" $owner "*) major=''; return ;; esac
  major=$(asked 5 64 head -n 1 -- "$1/PG_VERSION" 2>/dev/null; echo ".$?")
  [ "${major##*.}" = 0 ] || late="$late$owner "
  major=${major%.*}
  major=${major%"$nl"}
  case $major in *[!0-9.]*) major= ;; esac
}
# owned DIR: sets uid, owner and group. Never root's: PostgreSQL does not run as root.
owned() {
  case $1 in *"$nl"*) return 1 ;; esac
  about=$(stat -L -c '%u %U %G' -- "$1" 2>/dev/null) || return 1
  uid=${about%% *} owner=${about#* }
  group=${owner#* } owner=${owner%% *}
  [ "$uid" != 0 ] && [ "$owner" != UNKNOWN ] || return 1
  ids=
  if [ "${PGFLEET_SWITCHER:-}" = setpriv ] && ids "$owner"; then ids=$as_uid:$as_gid; fi # here, so that it is asked for once; small hosts have no getent
}
# runs PID: sets ran to its real and effective user id.
runs() {
  ran=
  while read -r key real effective key_rest; do
    [ "$key" != Uid: ] || { ran="$real $effective"; break; }
  done 2>/dev/null <"/proc/$1/status"
}
tell() { # tell DIR BINDIR CONFIG STATE PID: of a cluster of user $owner; false: that process is not its server
  stranger= inside= major=
  case $whose:$owner in known:postgres | known:enterprisedb | known:pgsql | any:*) ;; *) stranger=yes ;; esac
  may=yes
  [ "$owner" = "$me" ] || [ "$me" = root ] || may=no
  [ "$stranger$4" = running ] || version "$1"
  bin=$2
  if [ -z "$bin" ]; then
    for b in "/usr/lib/postgresql/$major/bin" "/usr/pgsql-$major/bin" /usr/local/pgsql/bin /usr/local/bin /usr/bin; do
      if [ -x "$b/postgres" ]; then bin=$b; break; fi
    done
  fi
  if [ -z "$stranger" ] && [ $may = yes ] && [ -n "$bin" ] && [ "$4$major" != stopped ]; then
    inside=$(asked 30 33554432 /bin/sh -c "$reader" sh "$1" "$bin" "$3" "$4" "$served" "$5"; echo ".$?")
    [ "${inside##*.}" = 0 ] || late="$late$owner "
    inside=${inside%.*}
    # Not what its postmaster.pid is about: another cluster's process that stands here.
    case $inside in "other 0$nl"*) return 1 ;; esac
  fi
  seen="$seen
$1"
  if [ "$stranger" = yes ]; then
    put cluster "data=$1
config=$3
state=$4
user=$owner
stranger=yes"
    return
  fi
  managed=
  [ -e "$1/patroni.dynamic.json" ] || [ -e "${3%/*}/postgresql.base.conf" ] || [ -e "$1/postgresql.base.conf" ] && managed=patroni
  put cluster "data=$1
config=$3
state=$4
pid=$5
start=$start
major=$major
bin=$bin
user=$owner
ids=$ids
group=$group
managed=$managed"
  if [ $may = no ]; then put problem "it belongs to $owner; working as $me only (become: true is needed)"; return; fi
  if [ "$4$major" = stopped ]; then put problem "its data directory $1 has no PG_VERSION that can be read"; return; fi
  if [ -z "$bin" ]; then put problem "no postgres program of version $major was found for $1"; return; fi
  put inside "$inside"
  case $late in *" $owner "*) put problem "what its OS user $owner was asked took more than 30 seconds" ;; esac
  # Its own configuration file needs no further look.
  for conf in /etc/postgresql/*/*/postgresql.conf; do
    case $4:$inside in running:*"file	text	$conf$nl"*) claimed="$claimed$owner $conf$nl" ;; esac
  done
}
# What it has seen of this very process and of its folder before, no process has to find out again.
same() { # same PID START UID DIR
  process "$1" && [ "$start" = "$2" ] && runs "$1" && [ "$ran" = "$3 $3" ] && [ "/proc/$1/cwd" -ef "$4" ] && [ "/proc/$1/cwd/postmaster.pid" -ef "$4/postmaster.pid" ]
}
full=
[ "$again" != 0 ] || full=yes
while [ "$again" -gt 0 ]; do
  again=$((again - 1))
  if [ -z "$full" ] && same "$1" "$2" "$3" "$8"; then
    uid=$3 ids=$3:$4 owner=$5 group=$6
    as_for=$5 as_uid=$3 as_gid=$4
    tell "$8" "$7" '' running "$1" || full=yes
  else
    full=yes
  fi
  shift 8
done

# Running servers: processes named postgres whose parent is none, with a postmaster.pid that names them.
servers= all=' '
if [ -n "$full" ]; then
  for d in /proc/[0-9]*; do
    process "${d#/proc/}" || continue
    servers="$servers ${d#/proc/}:$parent:$start"
    all="$all${d#/proc/} "
  done
fi
for p in $servers; do
  pid=${p%%:*} start=${p##*:} parent=${p%:*}
  case $all in *" ${parent#*:} "*) continue ;; esac
  links=$(readlink "/proc/$pid/cwd" "/proc/$pid/exe") || links=$(readlink "/proc/$pid/cwd" && readlink "/proc/$pid/exe") || continue
  dir=${links%%"$nl"*} exe=${links#*"$nl"}
  known "$dir" && continue
  owned "$dir" || continue
  # As PostgreSQL itself does: the data directory belongs to who runs it.
  runs "$pid"
  [ "$ran" = "$uid $uid" ] || continue
  [ "/proc/$pid/cwd/postmaster.pid" -ef "$dir/postmaster.pid" ] || continue
  exe=${exe% (deleted)}
  tell "$dir" "${exe%/*}" '' running "$pid" || :
done

# Stopped ones: Debian's configuration folders, then data directories of the usual layouts and of service files.
start= places=
for conf in /etc/postgresql/*/*/postgresql.conf; do
  [ -n "$full" ] && [ -f "$conf" ] && keeper=$(stat -c %U -- "${conf%/*}") && [ "$keeper" != UNKNOWN ] || continue
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
[ -z "$full" ] || places=$(sed -n 's/^[[:space:]]*\(Environment=\)\{0,1\}"\{0,1\}PGDATA=\([^"]*\)"\{0,1\}[[:space:]]*$/\2/p' /etc/systemd/system/postgresql*.service \
  /etc/systemd/system/postgresql*.service.d/*.conf /usr/lib/systemd/system/postgresql*.service /etc/sysconfig/pgsql/* 2>/dev/null)
IFS='
'
for dir in $places /var/lib/pgsql/data /var/lib/pgsql/*/data /var/lib/postgresql/data /var/lib/postgresql/*/data /var/lib/postgresql/*/docker; do
  unset IFS
  [ -n "$full" ] && [ -e "$dir/PG_VERSION" ] && [ -e "$dir/postgresql.conf" ] || continue
  known "$dir" || ! owned "$dir" || tell "$dir" '' "$dir/postgresql.conf" stopped ''
done
unset IFS

# What pgfleet keeps for each cluster: its settings file, what it noted of the rules, and the manifests of runs that were not proved.
for dir in /etc/pgfleet/*/; do
  dir=${dir%/}
  [ -e "$dir/pgfleet.conf" ] || [ -d "$dir/.undo" ] || continue
  if [ -e "$dir/pgfleet.conf" ]; then
    ours=
    while IFS= read -r line; do ours=$ours$line$nl; done <"$dir/pgfleet.conf" || continue
    put ours "$dir $(stat -c '%.9Y' "$dir/pgfleet.conf")
$ours$line"
  fi
  if [ -e "$dir/rules" ] && read -r rules <"$dir/rules"; then put rules "$dir $rules"; fi
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
$(timeout 5 getent ahosts "$name" 2>/dev/null)"
done
put end ''
