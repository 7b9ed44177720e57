# keep_before RUN PATH…: copies files of the cluster whose folder is $dir before they change; a copy that there is already stays.
kept() { # kept PATH: there is a copy already. Sets count to the number of lines
  count=0
  [ -e "$folder/manifest" ] || return 1
  while IFS= read -r kept_line; do
    count=$((count + 1))
    [ "${kept_line#* * * * }" != "$1" ] || return 0
  done <"$folder/manifest"
  return 1
}
empty() { # empty FILE: a settings file that sets nothing
  while IFS= read -r empty_line; do
    case $empty_line in '' | '#'*) ;; *) return 1 ;; esac
  done <"$1"
}
keep_before() {
  # What was proved is a good state to come back to: changes after it get a copy of their own.
  folder=$dir/.undo/$1 keep_n=1
  while [ -e "$folder/proved" ] || [ -e "$folder/undone" ]; do keep_n=$((keep_n + 1)) folder=$dir/.undo/$1~$keep_n; done
  shift
  missing=no
  for keep; do kept "$keep" || missing=yes; done
  [ "$missing" = yes ] || return 0
  [ -d "$dir" ] || { mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" || fail "cannot make $dir"; }
  mkdir -p "$folder" || fail "cannot make $folder"
  [ ! -s "$folder/manifest" ] || cp "$folder/manifest" "$folder/manifest.new" || fail "cannot write $folder"
  kept '' # for its count
  keep_n=$count copies=
  [ "$count" != 0 ] || : >"$folder/manifest.new" || fail "cannot write $folder"
  for keep; do
    ! kept "$keep" || continue
    keep_n=$((keep_n + 1))
    actor "$keep" || exit 1
    # What a rollback has left of our settings file is the same as none.
    if [ "$who" = root ] && { ! [ -e "$keep" ] || { [ "$keep" = "$dir/pgfleet.conf" ] && empty "$keep"; }; }; then
      printf -- '- - - - %s\n' "$keep" >>"$folder/manifest.new"
    elif meta=$(as "$who" stat -L -c '%a %U %G' -- "$keep" 2>&1); then
      # Whose it is could have it lead to a file that never ends: at most 16 MiB of root's disk.
      (ulimit -f 32768 && as "$who" cat -- "$keep") >"$folder/$keep_n" || { rm -f "$folder/$keep_n"; fail "cannot copy $keep as $who, or it has more than 16 MiB"; }
      copies="$copies $keep_n"
      printf '%s %s %s\n' "$keep_n" "$meta" "$keep" >>"$folder/manifest.new"
    else
      case $meta in
      *'No such file'*) printf -- '- - - - %s\n' "$keep" >>"$folder/manifest.new" ;;
      *) fail "cannot look at $keep as $who: $meta" ;;
      esac
    fi
  done
  cd "$folder" || fail "cannot enter $folder"
  # shellcheck disable=SC2086 # numbers
  { sync $copies manifest.new 2>/dev/null || sync; } && mv manifest.new manifest || fail "cannot write $folder/manifest"
  cd /
}
