# $1: a path. Prints "<size> <mode> <uid> <gid> <mtime> <owner> <group>" and then the file's bytes.
# 44: not there; 45: permission denied; 46: no regular file; 47: larger than $2 bytes.
m=$(stat -L -c "%s %a %u %g %Y %U %G %F" -- "$1" 2>&1) || {
  printf "%s\n" "$m" >&2
  case ${m%" (os error "*")"} in # as the coreutils in Rust end it
    *": No such file or directory" | *": Not a directory") exit 44 ;;
    *": Permission denied") exit 45 ;;
  esac
  exit 1
}
case $m in
  *" regular file" | *" regular empty file") ;;
  *) printf "%s\n" "not a regular file but: $m" >&2; exit 46 ;;
esac
if [ "${m%% *}" -gt "$2" ]; then
  echo "the file has ${m%% *} bytes, at most $2 are read" >&2
  exit 47
fi
if ! [ -r "$1" ]; then
  echo "Permission denied" >&2
  exit 45
fi
printf "%s\n" "$m"
exec cat -- "$1"
