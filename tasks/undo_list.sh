# Lists what is kept of files of before runs and was not put back yet, of each cluster what was kept first: a line with the copy's folder, the lines of its manifest,
# "theirs N DIGEST" for what of a file is not pgfleet's, an empty line.
theirs='/^# BEGIN pgfleet/ { ours = 1 } !ours && !/# pgfleet: keep this line last\r?$/ { sub(/\r$/, ""); print } /^# END pgfleet/ { ours = 0 }'
for undo in /etc/pgfleet/*/.undo; do
  stat -c '%.9Y %n' -- "$undo"/*/manifest 2>/dev/null | sort -k 1,1n -k 2,2 | while read -r _ manifest; do
    folder=${manifest%/manifest}
    ! [ -e "$folder/undone" ] || continue
    printf '%s\n' "$folder"
    cat -- "$manifest"
    while read -r n _ _ _ path; do
      case $n:$path in
      -:* | *.crt | *.crl | */pgfleet.conf) ;;
      *)
        sum=$(awk "$theirs" "$folder/$n" | sha256sum)
        printf 'theirs %s %s\n' "$n" "${sum%% *}"
        ;;
      esac
    done <"$manifest"
    echo
  done
done
