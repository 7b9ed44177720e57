# What stands in the way of the one program, and what else its user may do. $1 user  $2 program  $3 folder of the policies
id -u "$1" >/dev/null 2>&1 || { echo "there is no user $1 on this host: make one (useradd -m $1), or name another with --user" >&2; exit 1; }
for program in head env awk od tr find sed openssl; do
	command -v "$program" >/dev/null 2>&1 || { echo "$program is missing on this host" >&2; exit 1; }
done
for path in "${2%/*}" "$2" "${3%/*}" "$3"; do
	while [ -n "$path" ]; do
		[ -e "$path" ] || [ -L "$path" ] || { path=${path%/*}; continue; }
		listing=$(ls -ldn "$path")
		case $listing in
		l*) echo "$path is a symbolic link" >&2; exit 1 ;;
		????????w*) echo "$path can be changed by everybody" >&2; exit 1 ;;
		esac
		set -- "$1" "$2" "$3" $listing
		[ "$6" = 0 ] || { echo "$path does not belong to root" >&2; exit 1; }
		path=${path%/*}
	done
done
[ "$1" != root ] || exit 0
command -v sudo >/dev/null 2>&1 || { echo "sudo is missing on this host, and $1 is not root" >&2; exit 1; }
# The rules are the indented lines after the one that says so.
rules='' sudo=$(sudo -n -l -U "$1" 2>/dev/null)
printf '%s\n' "$sudo" | while IFS= read -r line; do
	case $line in
	*'may run the following'*) rules=yes ;;
	*"NOPASSWD: $2 \"\"") ;;
	' '*) [ -z "$rules" ] || printf '%s\n' "${line#"${line%%[! ]*}"}" ;;
	esac
done
exit 0
