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
  { become "$owner" "$@" </dev/null & } | timeout "$asked_seconds" head -c "$asked_bytes"
}

# process PID: it is a server's. A host has hundreds of them, a server hundreds of its own, and shells read one byte at a time: so no more is read than is asked.
process() {
  { read -r line <"/proc/$1/comm"; } 2>/dev/null || return 1
  case $line in postgres | postmaster | edb-postgres) ;; *) return 1 ;; esac
}
# child PID: sets parent.
child() {
  parent=
  while read -r key parent key_rest; do
    [ "$key" != PPid: ] || return 0
  done 2>/dev/null <"/proc/$1/status"
  return 1
}
# began PID: sets start, which no other process of this number has.
began() {
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # numbers
  set -- ${line##*) }
  start=${20}
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
# told PATH: sets about to what one stat said of it together with others, in $abouts: neither users nor groups can have a ":" in their names.
abouts=
told() {
  set -f
  IFS=$nl
  for about in $abouts; do
    [ "${about#*:*:*:*:}" != "$1" ] || { unset IFS; set +f; return 0; }
  done
  unset IFS
  set +f
  return 1
}
# owned DIR: sets uid, owner, gid and group. Never root's: PostgreSQL does not run as root.
owned() {
  case $1 in *"$nl"*) return 1 ;; esac
  told "$1/." || about=$(stat -L -c '%u:%U:%g:%G:' -- "$1" 2>/dev/null) || return 1
  uid=${about%%:*} about=${about#*:}
  owner=${about%%:*} about=${about#*:}
  gid=${about%%:*} about=${about#*:}
  group=${about%%:*}
  [ "$uid" != 0 ] && [ "$owner" != UNKNOWN ]
}
# identified: sets ids to those of $owner.
identified() {
  ids=
  if [ "${PGFLEET_SWITCHER:-}" = setpriv ] && ids "$owner"; then ids=$as_uid:$as_gid; fi # here, so that it is asked for once; small hosts have no getent
}
# runs PID: sets ran to its real and effective user id, and ran_group to those of its group.
runs() {
  ran= ran_group=
  {
    while read -r key real effective key_rest; do
      [ "$key" != Uid: ] || { ran="$real $effective"; break; }
    done
    read -r key real effective key_rest
    [ "$key" != Gid: ] || ran_group="$real $effective"
  } 2>/dev/null <"/proc/$1/status"
}
# at PID: sets dir to its working directory, as readlink prints it.
at() {
  dir=
  # Where a shell cannot tell (the folder is deleted), or tells what is another folder here (the process is in a container), the system's word is taken.
  if cd -P "/proc/$1/cwd" 2>/dev/null; then dir=$PWD; cd /; fi
  case $dir in
  /proc/* | '') ;;
  *) if [ "$dir" -ef "/proc/$1/cwd" ]; then return 0; fi ;;
  esac
  dir=$(readlink "/proc/$1/cwd")
}
# program PID: sets bin to the folder of the program that it runs.
program() {
  for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin /usr/bin; do
    if [ "$bin/postgres" -ef "/proc/$1/exe" ] && ! [ -L "$bin/postgres" ]; then return 0; fi
  done
  bin=$(readlink "/proc/$1/exe") || return 1 # also of one that was replaced since it was started, "… (deleted)"
  bin=${bin%/*}
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
  process "$1" && began "$1" && [ "$start" = "$2" ] && runs "$1" && [ "$ran" = "$3 $3" ] && [ "/proc/$1/cwd" -ef "$4" ] && [ "/proc/$1/cwd/postmaster.pid" -ef "$4/postmaster.pid" ]
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
    process "${d#/proc/}" && child "${d#/proc/}" || continue
    servers="$servers ${d#/proc/}:$parent"
    all="$all${d#/proc/} "
  done
fi
dirs= # PID:START:DIR of those that are nobody's child
for p in $servers; do
  pid=${p%%:*}
  case $all in *" ${p#*:} "*) continue ;; esac
  began "$pid" && at "$pid" || continue
  case $dir in *"$nl"*) continue ;; esac
  dirs=$dirs$pid:$start:$dir$nl
done
# gather sets abouts: one stat for the folders of servers and those with configuration. What that leaves out is asked for by itself.
gather() {
  set --
  for d in /etc/postgresql/*/*/postgresql.conf; do
    case $d in *"$nl"*) continue ;; esac
    [ ! -f "$d" ] || set -- "$@" "${d%/*}"
  done
  set -f
  IFS=$nl
  for d in $dirs; do set -- "$@" "${d#*:*:}/."; done
  unset IFS
  set +f
  # Where a folder with configuration is a link, who made the link counts.
  [ $# = 0 ] || abouts=$(stat -c '%u:%U:%g:%G:%n' -- "$@" 2>/dev/null)
}
[ -z "$full" ] || gather
rest=$dirs
while [ -n "$rest" ]; do
  p=${rest%%"$nl"*} rest=${rest#*"$nl"}
  pid=${p%%:*} p=${p#*:}
  start=${p%%:*} dir=${p#*:}
  known "$dir" && continue
  owned "$dir" || continue
  # As PostgreSQL itself does: the data directory belongs to who runs it.
  runs "$pid"
  [ "$ran" = "$uid $uid" ] || continue
  [ "/proc/$pid/cwd/postmaster.pid" -ef "$dir/postmaster.pid" ] || continue
  program "$pid" || continue
  # What is asked of it is asked with its own group, if that is its folder's as well; else with its user's.
  if [ "$gid" != 0 ] && [ "$ran_group" = "$gid $gid" ]; then as_for=$owner as_uid=$uid as_gid=$gid; fi
  identified
  tell "$dir" "$bin" '' running "$pid" || :
done

# Stopped ones: Debian's configuration folders, then data directories of the usual layouts and of service files.
start= places=
for conf in /etc/postgresql/*/*/postgresql.conf; do
  [ -n "$full" ] && [ -f "$conf" ] || continue
  told "${conf%/*}" || about=$(stat -c '%u:%U:' -- "${conf%/*}") || continue
  keeper=${about#*:}
  keeper=${keeper%%:*}
  [ "$keeper" != UNKNOWN ] || continue
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
  identified
  tell "$dir" '' "$conf" stopped ''
done
for f in /etc/systemd/system/postgresql*.service /etc/systemd/system/postgresql*.service.d/*.conf /usr/lib/systemd/system/postgresql*.service /etc/sysconfig/pgsql/*; do
  [ -n "$full" ] && [ -f "$f" ] && [ -r "$f" ] || continue
  case $f in /usr/*@.service) continue ;; esac # of any cluster, so no place of one
  while read -r line || [ -n "$line" ]; do # takes blanks from both ends
    line=${line#Environment=}
    line=${line#'"'}
    case $line in PGDATA=*) line=${line#PGDATA=} line=${line%'"'} ;; *) continue ;; esac
    case $line in '' | *'"'*) ;; *) places=$places$line$nl ;; esac
  done <"$f"
done
IFS='
'
for dir in $places /var/lib/pgsql/data /var/lib/pgsql/*/data /var/lib/postgresql/data /var/lib/postgresql/*/data /var/lib/postgresql/*/docker; do
  unset IFS
  [ -n "$full" ] && [ -e "$dir/PG_VERSION" ] && [ -e "$dir/postgresql.conf" ] || continue
  if ! known "$dir" && owned "$dir"; then
    identified
    tell "$dir" '' "$dir/postgresql.conf" stopped ''
  fi
done
unset IFS

for name; do
  put address "$name
$(timeout 5 getent ahosts "$name" 2>/dev/null)"
done
set --

# What pgfleet keeps for each cluster: its settings file, what it noted of the rules, and the manifests of runs that were not proved.
for dir in /etc/pgfleet/*/; do
  dir=${dir%/}
  [ -e "$dir/pgfleet.conf" ] || [ -d "$dir/.undo" ] || continue
  if [ -e "$dir/pgfleet.conf" ]; then
    ours=
    while IFS= read -r line; do ours=$ours$line$nl; done <"$dir/pgfleet.conf" || continue
    set -- "$@" "$dir" "$ours$line"
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
# When those files were changed, after they were read: a change in between is seen as one that is not in force yet. The folder of stat's own process is as old
# as that: it tells the time.
times=$(stat -c '%Y %.9Y %n' -- /proc/self/. /etc/pgfleet/*/pgfleet.conf 2>/dev/null)
set -f
IFS=$nl
while [ $# -gt 0 ]; do
  time=
  for t in $times; do
    [ "${t#* * }" != "$1/pgfleet.conf" ] || { time=${t#* }; time=${time%% *}; break; }
  done
  put ours "$1 $time
$2"
  shift 2
done
unset IFS
set +f
case $times in
[1-9]*' /proc/self/.' | [1-9]*" /proc/self/.$nl"*) now=${times%% *} ;;
*) now=$(date +%s) ;;
esac
put host "now=$now"
put end ''
