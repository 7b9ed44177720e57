# Copies files before they change. $1 the cluster's folder, $2 run, $3 OS user, then paths.
dir=$1 run=$2 owner=$3
shift 3
# What was proved is a good state to come back to: changes after it get a copy of their own.
folder=$dir/.undo/$run n=1
while [ -e "$folder/proved" ] || [ -e "$folder/undone" ]; do n=$((n + 1)) folder=$dir/.undo/$run~$n; done
count=0
kept() { # kept PATH: there is a copy already. Sets count to the number of lines
  count=0
  [ -e "$folder/manifest" ] || return 1
  while IFS= read -r kept_line; do
    count=$((count + 1))
    [ "${kept_line#* * * * }" != "$1" ] || return 0
  done <"$folder/manifest"
  return 1
}
missing=no
for path; do kept "$path" || missing=yes; done
[ "$missing" = yes ] || exit 0
[ "${PGFLEET_SWITCHER:-}" != setpriv ] || ids "$owner" # here, so that it is asked for once
[ -d "$dir/.undo" ] || { mkdir -p "$dir/.undo" && chmod 755 "${dir%/*}" "$dir" && chmod 700 "$dir/.undo"; } || fail "cannot make $dir/.undo"
mkdir -p "$folder" && : >>"$folder/manifest" && cp "$folder/manifest" "$folder/manifest.new" || fail "cannot write $folder"
kept '' # for its count
n=$count
for path; do
  ! kept "$path" || continue
  n=$((n + 1))
  who=$(actor "$path") || exit 1
  if meta=$(as "$who" stat -L -c '%a %U %G' -- "$path" 2>&1); then
    as "$who" cat -- "$path" >"$folder/$n" || fail "cannot copy $path as $who"
    sync "$folder/$n" 2>/dev/null || sync
    printf '%s %s %s\n' "$n" "$meta" "$path" >>"$folder/manifest.new"
  else
    case $meta in
    *'No such file'*) printf -- '- - - - %s\n' "$path" >>"$folder/manifest.new" ;;
    *) fail "cannot look at $path as $who: $meta" ;;
    esac
  fi
done
{ sync "$folder/manifest.new" 2>/dev/null || sync; } && mv "$folder/manifest.new" "$folder/manifest" || fail "cannot write $folder/manifest"
