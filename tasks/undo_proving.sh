# Notes which run is about to prove what others left. $1 the cluster's folder, $2 this run.
[ -d "$1/.undo" ] || exit 0
for f in "$1"/.undo/*/; do
  if [ -e "${f}manifest" ] && ! [ -e "${f}proved" ] && ! [ -e "${f}undone" ]; then
    printf '%s\n' "$2" >"${f}proving" || exit 1
  fi
done
