# Pairs of a complete file and the path to put it at, replacing what is there; a link is replaced, not followed. One after the other, up to the first
# that fails. Prints how many are in place.
n=0
d=
written() { # written PAIR…: the bytes of the complete files are on the disk
  k=$#
  while [ "$k" -gt 0 ]; do
    t=$1
    shift 2
    set -- "$@" "$t"
    k=$((k - 2))
  done
  sync -- "$@" 2>/dev/null || fsync "$@" 2>/dev/null || sync
}
end() { printf "%s\n" "$n"; exit "$1"; }
durable() { [ -z "$d" ] || sync -- "$d" 2>/dev/null || fsync "$d" 2>/dev/null || :; }
[ $# = 0 ] || written "$@"
while [ $# -gt 0 ]; do
  if [ -d "$2" ] && ! [ -L "$2" ]; then
    echo "$2 is a folder" >&2
    durable
    end 1
  fi
  x=${2%/*}
  [ -n "$x" ] || x=/
  [ "$x" = "$d" ] || durable
  d=$x
  if mv -T -f -- "$1" "$2" 2>/dev/null; then :
  elif [ -d "$2" ]; then
    echo "$2 is a folder or leads to one" >&2
    durable
    end 1
  else
    mv -f -- "$1" "$2" || { durable; end 1; }
  fi
  n=$((n + 1))
  shift 2
done
durable
end 0
