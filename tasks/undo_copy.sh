# Copies files before they change. $1 the cluster's folder, $2 run, $3 OS user, then paths.
dir=$1 run=$2 owner=$3
shift 3
mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" && mkdir -p "$dir/.undo" && chmod 700 "$dir/.undo" || fail "cannot make $dir/.undo"
# What was proved is a good state to come back to: changes after it get a copy of their own.
folder=$dir/.undo/$run n=1
while [ -e "$folder/proved" ] || [ -e "$folder/undone" ]; do n=$((n + 1)) folder=$dir/.undo/$run~$n; done
mkdir -p "$folder" && : >>"$folder/manifest" || fail "cannot write $folder"
cp "$folder/manifest" "$folder/manifest.new" || fail "cannot write $folder"
n=$(wc -l <"$folder/manifest")
n=$((n))
for path; do
  cut -d ' ' -f 5- "$folder/manifest" | grep -Fxq -- "$path" && continue
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
