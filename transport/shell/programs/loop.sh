# The program that serves one connection: it reads steps from standard input and runs them one after the other.
#
# Input, after this program: the nonce, a token for file names, the words R (read.sh) and W (write.sh); then lines
#   S <id> <probe 0|1> <limit s> <kind> <words> <stdin bytes> <user or ->   followed by the words, the bytes, a line "."
#   D <id>                                                                 end of a batch
# A word is lines: "+text" when another line follows, ".text" for its last. Nothing runs before its "." has come.
# Output on both streams: "\n<nonce> B <id>\n" before a step, "\n<nonce> E <id> <code>\n" after it, "\n<nonce> D <id>\n".
LC_ALL=C
export LC_ALL
unset LANG LANGUAGE ENV BASH_ENV CDPATH OLDPWD MAIL SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND XDG_RUNTIME_DIR
umask 022
cd /
nl=$(printf "\nx")
nl=${nl%x}
word() {
  w=
  while IFS= read -r l; do
    case $l in
      .*) w=$w${l#.}; return 0 ;;
      +*) w=$w${l#+}$nl ;;
      *) exit 70 ;;
    esac
  done
  exit 71
}
say() {
  printf "\n%s %s\n" "$nonce" "$*"
  printf "\n%s %s\n" "$nonce" "$*" >&2
}
fatal() {
  say "F $*"
  exit 72
}
# get passes on exactly $1 bytes of standard input and reads not one more; not every head can.
get() {
  case $getter in
    head) head -c "$1" ;;
    block) dd bs="$1" count=1 iflag=fullblock 2>/dev/null ;;
    *) dd bs=1 count="$1" 2>/dev/null ;;
  esac
}
for getter in head block byte; do
  y=$(printf "abcdef\n" | { get 3 >/dev/null 2>&1; IFS= read -r z; printf %s "$z"; })
  [ "$y" = def ] && break
done
case $(timeout --version 2>&1) in
  *coreutils*) limiter=timeout ;;
  *) if command -v setsid >/dev/null 2>&1; then limiter=setsid; else limiter=plain; fi ;;
esac
switcher=none
uid=$(id -u)
me=$(id -un)
# Programs need not find out again who runs them, and how to act as another user.
USER=$me LOGNAME=$me PGFLEET_USER=$me
export USER LOGNAME PGFLEET_USER
if [ "$uid" = 0 ]; then
  HOME=~root
  export HOME
  if setpriv --reuid 0 --regid 0 --clear-groups true >/dev/null 2>&1; then switcher=setpriv
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
    exec timeout -k 5 "$lim" "$@"
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
# drawer makes $box, a folder of this step's own: what waits in it can be opened, replaced or foreseen by nobody else.
drawer() {
  for x in /dev/shm /run "${TMPDIR:-/tmp}" /tmp; do
    box=$x/.pgfleet.$token.$1
    [ -d "$x" ] && [ -w "$x" ] && (umask 077; mkdir "$box") 2>/dev/null && return 0
  done
  fatal "cannot create a folder in /dev/shm, /run or /tmp"
}
# lookup fills id, group and home of user $1.
lookup() {
  [ "$1" = "$known" ] && return 0
  line=$(getent passwd "$1" 2>/dev/null)
  if [ -z "$line" ]; then
    while IFS= read -r l; do
      case $l in "$1":*) line=$l; break ;; esac
    done </etc/passwd
  fi
  [ -n "$line" ] || return 1
  IFS=: read -r x x kuid kgid x khome x <<PASSWD
$line
PASSWD
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
    USER=$who LOGNAME=$who PGFLEET_USER=$who
    export HOME USER LOGNAME PGFLEET_USER
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
  [ "$limiter" = timeout ] && drain="timeout $((limit + 8)) cat"
  {
    code=$({ { (act "$@") <&4 4<&- 5>&- 7>&-; echo $? >&7; } | $drain >&5 4<&- 7>&-; } 7>&1)
  } 5>&1
}
IFS= read -r nonce || exit 71
IFS= read -r token || exit 71
word
R=$w
word
W=$w
known=
stop=0
say "H 1 $uid $getter $limiter $switcher $sftp $me"
while IFS=" " read -r k id probe limit kind words bytes who x; do
  case $k in
    S) ;;
    D) stop=0; say "D $id"; continue ;;
    *) fatal "bad line" ;;
  esac
  set --
  case $kind in
    r) set -- /bin/sh -c "$R" sh ;;
    w) set -- /bin/sh -c "$W" sh ;;
  esac
  while [ "$words" -gt 0 ]; do
    word
    set -- "$@" "$w"
    words=$((words - 1))
  done
  if [ "$stop" = 1 ]; then
    [ "$bytes" = 0 ] || get "$bytes" >/dev/null
    IFS= read -r x || exit 71
    continue
  fi
  [ "$who" = - ] || lookup "$who" || known=
  if [ "$bytes" = 0 ]; then
    exec 4</dev/null
  else
    drawer "$id"
    f=$box/in
    (umask 077; : >"$f") 2>/dev/null || { rm -rf "$box"; fatal "cannot create a file in $box"; }
    [ "$who" = - ] || [ "$uid" != 0 ] || [ -z "$known" ] || chown "$kuid" "$f"
    exec 3>"$f" 4<"$f"
    rm -rf "$box"
    get "$bytes" >&3 || fatal "no space left for standard input in ${box%/*}"
    exec 3>&-
  fi
  IFS= read -r x || exit 71
  [ "$x" = . ] || fatal "bad frame"
  say "B $id"
  if [ "$who" = - ] || [ "$who" = "$me" ]; then
    (act "$@") <&4 4<&-
    code=$?
  else
    apart "$@"
  fi
  exec 4<&-
  say "E $id $code"
  [ "$code" = 0 ] || [ "$probe" = 1 ] || stop=1
done
