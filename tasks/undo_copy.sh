# keep_before RUN PATH…: copies files of the cluster whose folder is $dir before they change; a copy that there is already stays. Sets copied to the last copy that it
# has made. What is in fresh, a file, is made durable with them.
copied='' fresh=''
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
copy_out() { # copy_out PATH FILE: copies PATH as $who, sets meta to its mode, user and group; 3: it cannot be looked at, and meta says why
  # Whose it is could have it lead to a file that never ends: at most 16 MiB of root's disk.
  # shellcheck disable=SC2016 # that shell's
  meta=$(ulimit -f 32768; exec 3>"$2" && become "$who" /bin/sh -c 'stat -L -c "%a %U %G" -- "$1" || exit 3; exec cat -- "$1" >&3' sh "$1" 2>&1)
}
durable() { sync "$@" 2>/dev/null || sync; }
keep_before() {
  # What was proved is a good state to come back to: changes after it get a copy of their own.
  folder=$dir/.undo/$1 keep_n=1
  while [ -e "$folder/proved" ] || [ -e "$folder/undone" ]; do keep_n=$((keep_n + 1)) folder=$dir/.undo/$1~$keep_n; done
  shift
  missing=no
  for keep; do kept "$keep" || missing=yes; done
  [ "$missing" = yes ] || return 0
  [ -d "$dir" ] || { mkdir -p "$dir" && chmod 755 "${dir%/*}" "$dir" || fail "cannot make $dir"; }
  # With a mode of their own: where a folder above has a default ACL, no umask counts.
  [ -d "$dir/.undo" ] || mkdir -m 700 "$dir/.undo" || fail "cannot make $dir/.undo"
  [ -d "$folder" ] || mkdir -m 700 "$folder" || fail "cannot make $folder"
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
    elif copy_out "$keep" "$folder/$keep_n"; then
      copies="$copies $keep_n" copied=$folder/$keep_n
      printf '%s %s %s\n' "$keep_n" "$meta" "$keep" >>"$folder/manifest.new"
    else
      keep_code=$?
      rm -f "$folder/$keep_n"
      case $keep_code:$meta in
      3:*'No such file'*) printf -- '- - - - %s\n' "$keep" >>"$folder/manifest.new" ;;
      3:*) fail "cannot look at $keep as $who: $meta" ;;
      *"$nl"*) fail "cannot copy $keep as $who: ${meta##*"$nl"}" ;; # what cat says, after stat's line
      *) fail "cannot copy $keep as $who, or it has more than 16 MiB" ;;
      esac
    fi
  done
  cd "$folder" || fail "cannot enter $folder"
  # shellcheck disable=SC2086 # numbers
  durable $copies manifest.new ${fresh:+"$fresh"} && mv manifest.new manifest || fail "cannot write $folder/manifest"
  cd /
  fresh=
}
