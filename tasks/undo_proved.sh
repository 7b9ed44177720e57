# Notes that the state which a run left is seen to work, and forgets all but the five newest copies. $1 the cluster's folder; then runs.
dir=$1
shift
for run; do
  for f in "$dir/.undo/$run" "$dir/.undo/$run"~*; do
    [ ! -e "$f/manifest" ] || [ -e "$f/undone" ] || : >"$f/proved"
  done
done
n=0
for f in "$dir"/.undo/*; do [ ! -e "$f" ] || n=$((n + 1)); done
[ "$n" -gt 5 ] || exit 0
ls -1t "$dir/.undo" | sed '1,5d' | while IFS= read -r old; do
  [ -e "$dir/.undo/$old/proved" ] || [ -e "$dir/.undo/$old/undone" ] || continue
  rm -rf "$dir/.undo/${old:?}"
done
