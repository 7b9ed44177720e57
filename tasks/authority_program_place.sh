# Puts files in place that were written as FILE.new: the rule of sudo only when it is one. They are copied, because a file that is still open for writing
# cannot be run. Arguments: MODE FILE …
umask 077
while [ $# -gt 0 ]; do
	cp "$2.new" "$2.copy" && chmod "$1" "$2.copy" || exit 1
	case $2 in
	*/sudoers.d/*) ! command -v visudo >/dev/null 2>&1 || visudo -cqf "$2.copy" || exit 1 ;;
	esac
	mv -f "$2.copy" "$2" && rm -f "$2.new" || exit 1
	shift 2
done
