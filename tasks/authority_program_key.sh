# Looks for a line of authorized_keys, or adds it, as the user whose it is. $1 look or add  $2 line  $3 the key in it
umask 077
home=$(getent passwd "$(id -un)" | cut -d: -f6)
[ -d "$home" ] || { echo "$(id -un) has no home folder" >&2; exit 1; }
file=$home/.ssh/authorized_keys
# sshd takes the first line with a key.
if [ -f "$file" ] && grep -F -- "$3" "$file" | grep -vxqF -- "$2"; then
	echo "$file has this key in another line too, which gives it more than the program: take that line away" >&2
	exit 1
fi
if [ -f "$file" ] && grep -qxF -- "$2" "$file"; then
	echo there
	exit 0
fi
[ "$1" = add ] || exit 0
mkdir -p "$home/.ssh" && { [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"; } && printf '%s\n' "$2" >>"$file"
