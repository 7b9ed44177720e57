# Notes that the state which a run left is seen to work, and forgets copies of before runs: not of the five newest, nor of the first, so that what was there before
# pgfleet can always come back. A forgotten run that was the first to change some file hands its copy on to the first. $1 the cluster's folder, $2 a note of what is
# served, for postgres_reader.sh ("": none); then runs.
dir=$1
if [ -n "$2" ]; then
  umask 022
  printf '%s' "$2" >"$dir/served.new" && mv -f "$dir/served.new" "$dir/served"
  umask 077
fi
shift 2
for run; do
  for f in "$dir/.undo/$run" "$dir/.undo/$run"~*; do
    [ ! -e "$f/manifest" ] || [ -e "$f/undone" ] || : >"$f/proved"
  done
done
cd "$dir/.undo" 2>/dev/null || exit 0
n=0 last=
for f in */manifest; do
  if [ "${f%%[~/]*}" != "$last" ]; then n=$((n + 1)) last=${f%%[~/]*}; fi
done
[ "$n" -gt 6 ] || exit 0
stat -c '%.9Y %n' -- */manifest | sort -k 1,1n -k 2,2 | while read -r _ f; do
  f=${f%/manifest} state=unproved
  if [ -e "$f/proved" ]; then state=proved; fi
  if [ -e "$f/undone" ]; then state=undone; fi
  printf '%s %s\n' "$f" "$state"
done | awk '
  { name[NR] = $1; state[NR] = $2; run[NR] = $1; sub(/~.*/, "", run[NR]) }
  END {
    for (i = NR; i > 0; i--) if (!(run[i] in newest) && kept < 5) { newest[run[i]]; kept++ }
    for (i = 1; i <= NR; i++) {
      more = 0
      if (state[i] != "undone") {
        if (first == "") first = run[i]
        manifest = name[i] "/manifest"
        while ((getline path <manifest) > 0) {
          sub(/^[^ ]* [^ ]* [^ ]* [^ ]* /, "", path)
          if (!(path in had)) { had[path]; more = 1 }
        }
        close(manifest)
      }
      if (run[i] in newest || run[i] == first || state[i] == "unproved") continue
      print name[i], (more ? first : "-")
    }
  }' | while read -r old to; do
  if [ "$to" = - ]; then
    rm -f "${old:?}/manifest" && rm -rf "${old:?}"
    continue
  fi
  n=2
  while [ -e "$to~$n" ]; do n=$((n + 1)); done
  mv "$old" "$to~$n"
done
