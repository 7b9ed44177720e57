# $1: a complete file, $2: the path to put it at, replacing what is there; a link is replaced, not followed.
if [ -d "$2" ] && ! [ -L "$2" ]; then
  echo "$2 is a folder" >&2
  exit 1
fi
if mv -T -f -- "$1" "$2" 2>/dev/null; then :
elif [ -d "$2" ]; then
  echo "$2 is a folder or leads to one" >&2
  exit 1
else
  mv -f -- "$1" "$2" || exit 1
fi
d=${2%/*}
[ -n "$d" ] || d=/
sync -- "$d" 2>/dev/null || fsync "$d" 2>/dev/null || :
