# Lists what is kept of files of before runs and was not put back: a line with the copy's folder, the lines of its manifest, an empty line.
for manifest in /etc/pgfleet/*/.undo/*/manifest; do
  folder=${manifest%/manifest}
  [ -e "$manifest" ] && ! [ -e "$folder/undone" ] || continue
  printf '%s\n' "$folder"
  cat -- "$manifest"
  echo
done
