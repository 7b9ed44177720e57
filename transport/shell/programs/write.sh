# $1: path, $2: owner, $3: group ("" keeps), $4: octal mode, $5: a name for the temporary file. Standard input: the bytes.
umask 077
set -C
d=${1%/*}
[ -n "$d" ] || d=/
t=$d/$5
if [ -d "$1" ] && ! [ -L "$1" ]; then
  echo "$1 is a folder" >&2
  exit 1
fi
exec 3>"$t" || exit 1
trap "rm -f -- \"\$t\"" EXIT
trap "exit 143" HUP INT TERM
if [ -n "$2$3" ]; then
  chown -h -- "$2${3:+:$3}" "$t" || exit 1
fi
# Where the folder has a default ACL the umask does not count: the mode comes before the first byte.
chmod -- "$4" "$t" || exit 1
cat >&3 || exit 1
exec 3>&- || exit 1
sync -- "$t" 2>/dev/null || fsync "$t" 2>/dev/null || sync
if mv -T -f -- "$t" "$1" 2>/dev/null; then :
elif [ -d "$1" ]; then
  echo "$1 is a folder or leads to one" >&2
  exit 1
else
  mv -f -- "$t" "$1" || exit 1
fi
trap - EXIT
sync -- "$d" 2>/dev/null || fsync "$d" 2>/dev/null || :
