# The program that serves one connection: it reads batches of steps from standard input and runs their steps one after the other.
#
# It begins with nonce, token and getter set (see firstLine). Input: for each batch a line with a number of bytes, and then so many: lines of shell text,
# of which the last is "# <token>"; a batch that was cut short does not end so, and nothing of it runs. The lines are
#   pN='…'                                                       a long word, kept for this batch and later ones
#   feed %s '…'    feed %b '…'                                   the next step's standard input, as it is or as printf's %b makes it
#   step <id> <probe 0|1> <limit s> <user or -> <word>…          a step; words are '…' or "$pN"
#   group <id> <limit s> <program> <lines> <word>…               several steps below one limiter; programs/many.sh says which lines
#   finish <id>                                                  end of the batch
# Output on both streams: "\n<nonce> B <id>\n" before a step, "\n<nonce> E <id> <code>\n" after it, "\n<nonce> D <id>\n" at the end. A group that ends
# otherwise than with all of its steps, because one failed or the limit was over, ends with "\n<nonce> X <id> <code>\n", and nothing after it runs: of the
# step that shows no end, code is the end, and the controller sends again what has not begun.
# A batch that goes with the program stands as lines before the loop at its end; the line with "H" comes before anything of it.
# A read of the shell's own takes a system call a byte, so that only the numbers are read that way.
LC_ALL=C
export LC_ALL
unset LANG LANGUAGE ENV BASH_ENV CDPATH OLDPWD MAIL SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND XDG_RUNTIME_DIR text in p
umask 022
cd /
say() {
  printf "\n%s %s\n" "$nonce" "$*"
  printf "\n%s %s\n" "$nonce" "$*" >&2
}
fatal() {
  say "F $*"
  exit 72
}
# What can be told without a process is: each is a millisecond for every host.
stock() { # stock PROGRAM: it is there, and not one of busybox or toybox, which know fewer options
  IFS=:
  for at in $PATH; do
    [ ! -x "$at/$1" ] || break
  done
  unset IFS
  case $at in /usr/bin | /bin | /usr/sbin | /sbin) ;; *) return 1 ;; esac
  [ -x "$at/$1" ] || return 1
  for x in /bin/busybox /usr/bin/busybox /bin/toybox /usr/bin/toybox; do
    ! [ "$at/$1" -ef "$x" ] || return 1
  done
}
# By its path: the shell of busybox takes tools of its own for those that it finds.
timeout=timeout
if stock timeout; then limiter=timeout timeout=$at/timeout
else
  case $(timeout --version 2>&1) in
    *coreutils*) limiter=timeout ;;
    *) if command -v setsid >/dev/null 2>&1; then limiter=setsid; else limiter=plain; fi ;;
  esac
fi
switcher=none
uid=
while read -r x uid l; do
  [ "$x" != Uid: ] || break
  uid=
done </proc/self/status 2>/dev/null
me=root
if [ "$uid" != 0 ]; then
  me=$(id)
  me=${me#uid=} me=${me%% *}
  uid=${me%%"("*} me=${me#*"("} me=${me%")"}
fi
# Programs need not find out again who runs them, and how to act as another user.
USER=$me LOGNAME=$me PGFLEET_USER=$me PGFLEET_UID=$uid
export USER LOGNAME PGFLEET_USER PGFLEET_UID
if [ "$uid" = 0 ]; then
  HOME=~root
  export HOME
  if stock setpriv || setpriv --reuid 0 --regid 0 --clear-groups true >/dev/null 2>&1; then switcher=setpriv
  elif command -v runuser >/dev/null 2>&1; then switcher=runuser
  elif command -v su >/dev/null 2>&1; then switcher=su
  fi
fi
PGFLEET_SWITCHER=$switcher
export PGFLEET_SWITCHER
for sftp in /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server /usr/lib/ssh/sftp-server /usr/libexec/sftp-server /usr/libexec/ssh/sftp-server none; do
  [ -x "$sftp" ] && break
done
# limited runs the rest of its arguments for at most $1 seconds; the whole process group ends with it.
limited() {
  if [ "$limiter" = timeout ]; then
    lim=$1
    shift
    exec "$timeout" -k 5 "$lim" "$@"
  fi
  lim=$1
  shift
  # A background job's own standard input is /dev/null.
  exec 5<&0
  if [ "$limiter" = setsid ]; then
    setsid "$@" <&5 5<&- &
    p=$!
    g=-$p
  else
    "$@" <&5 5<&- &
    p=$!
    g=$p
  fi
  exec 5<&-
  (
    sleep "$lim"
    kill -TERM "$g"
    sleep 5
    kill -KILL "$g"
  ) </dev/null >/dev/null 2>&1 &
  q=$!
  wait "$p"
  r=$?
  kill "$q" 2>/dev/null
  [ "$r" = 143 ] && r=124
  exit "$r"
}
# lookup fills id, group and home of user $1.
lookup() {
  [ "$1" = "$known" ] && return 0
  line=$(exec getent passwd "$1" 2>/dev/null)
  if [ -z "$line" ]; then
    while IFS= read -r l; do
      case $l in "$1":*) line=$l; break ;; esac
    done </etc/passwd
  fi
  # No here-document: some shells make a file for one, and /tmp may be full.
  case $line in *:*:*:*:*:*) ;; *) return 1 ;; esac
  line=${line#*:*:}
  kuid=${line%%:*} line=${line#*:}
  kgid=${line%%:*} line=${line#*:*:}
  khome=${line%%:*}
  known=$1
}
# act runs "$@" as user $who for at most $limit seconds.
act() {
  if [ "$who" != - ] && [ "$who" != "$me" ]; then
    if [ "$uid" != 0 ]; then
      echo "cannot act as user $who: the connection is not root's" >&2
      exit 125
    fi
    if [ -z "$known" ]; then
      echo "cannot act as user $who: there is no such user" >&2
      exit 125
    fi
    HOME=$khome
    USER=$who LOGNAME=$who PGFLEET_USER=$who PGFLEET_UID=$kuid
    export HOME USER LOGNAME PGFLEET_USER PGFLEET_UID
    case $switcher in
      setpriv) set -- setpriv --reuid "$kuid" --regid "$kgid" --init-groups -- "$@" ;;
      runuser) set -- runuser -u "$who" -- "$@" ;;
      su) set -- su -s /bin/sh -c "exec \"\$0\" \"\$@\"" -- "$who" "$@" ;;
      *) echo "cannot act as user $who: neither setpriv, runuser nor su is there" >&2; exit 125 ;;
    esac
  fi
  limited "$limit" "$@"
}
# apart is act for another user, whose processes get a pipe of their own: whoever keeps this connection's could add to what root prints later.
apart() {
  drain=cat
  [ "$limiter" = timeout ] && drain="$timeout $((limit + 8)) cat"
  {
    code=$({ { (act "$@") 5>&- 7>&-; echo $? >&7; } | $drain >&5 7>&-; } 7>&1)
  } 5>&1
  return "$code"
}
run() {
  if [ "$who" = - ] || [ "$who" = "$me" ]; then (act "$@"); else apart "$@"; fi
}
feed() {
  form=$1 in=$2
}
step() {
  id=$1 probe=$2 limit=$3 who=$4
  shift 4
  if [ "$stop" = 0 ]; then
    [ "$who" = - ] || lookup "$who" || known=
    say "B $id"
    if [ -n "$form" ]; then printf "$form" "$in" 2>/dev/null | run "$@"; else run "$@" </dev/null; fi
    code=$?
    say "E $id $code"
    [ "$code" = 0 ] || [ "$probe" = 1 ] || stop=1
  fi
  form= in=
}
group() {
  gid=$1 limit=$2 many=$3 who=-
  shift 3
  [ "$stop" = 0 ] || return 0
  if [ "$limiter" != timeout ]; then
    eval "$1"
    return 0
  fi
  (act /bin/sh -c "$many" sh "$@") <<NONCE
$nonce
NONCE
  code=$?
  [ "$code" != 0 ] || return 0
  say "X $gid $code"
  stop=1
}
# Without timeout a group's steps run one by one.
many_shell() {
  id=$1 probe=$2 limit=$3 program=$4
  shift 4
  step "$id" "$probe" "$limit" - /bin/sh -c "$program" sh "$@"
}
many_words() {
  id=$1 probe=$2 limit=$3
  shift 3
  step "$id" "$probe" "$limit" - "$@"
}
finish() {
  stop=0
  say "D $1"
}
known= form= in= stop=0
say "H 1 $uid $getter $limiter $switcher $sftp $me"
while IFS= read -r size; do
  case $size in "" | *[!0-9]*) fatal "bad line" ;; esac
  text=$(get "$size")
  case $text in *"# $token") ;; *) exit 71 ;; esac
  eval "$text"
  text=
done
