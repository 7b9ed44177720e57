# Functions for probes: what a file is, in lines that a program reads, and never a private key. entry says what a path is; "facts", last of all, what there
# is to say of the files, with one process for all of them, and what time it is: the folder of stat's own process is as old as that. A text's lines follow
# its heading, each with "|" before it.
LC_ALL=C SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export LC_ALL SSL_CERT_FILE SSL_CERT_DIR
umask 077
nl='
'
tab='	'
there= pems= texts= keys= block= first= last=
# entry PATH [pem|key|text]: what is there; for a file also the public part of its content.
entry() {
	case $1 in *"$nl"*) return ;; esac
	kind=absent
	if [ -L "$1" ]; then
		kind=link
	elif [ -f "$1" ]; then
		kind=file
	elif [ -d "$1" ]; then
		kind=dir
	elif [ -e "$1" ]; then
		kind=other
	elif [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; then
		kind=unknown
	fi
	printf 'entry %s %s\n' "$kind" "$1"
	case $kind in
	absent | unknown) return ;;
	link) printf 'link %s\n|%s\n' "$1" "$(readlink -- "$1")" ;;
	esac
	there=$there$1$nl
	[ -r "$1" ] || return 0
	case $kind:${2:-} in
	file:pem) pems=$pems$1$nl ;;
	file:key) keys=$keys$1$nl ;;
	file:text) texts=$texts$1$nl ;;
	esac
}
# versions FOLDER NAME: each version folder in it with NAME.key, NAME.crt and issuer.crt.
versions() {
	for v in "$1"/*; do
		[ -e "$v" ] || [ -L "$v" ] || continue
		entry "$v"
		[ -d "$v" ] && [ ! -L "$v" ] || continue
		entry "$v/$2.key" key
		entry "$v/$2.crt" pem
	done
}
# noted KEY: its public half was noted when it was found good, and the file has not changed since. Sets public to its lines.
noted() {
	note=${1%.key}.pub
	[ -f "$note" ] && [ ! -L "$note" ] && [ -r "$note" ] || return 1
	for stat in $stats; do
		case $stat in *" $1") break ;; esac
		stat=
	done
	stat=${stat%" $1"}
	stat=${stat##* }
	# Where the system tells no parts of a second, a change may go unseen.
	case $stat in *.*[1-9]*) ;; *) return 1 ;; esac
	public= line=
	{
		IFS= read -r was && [ "$was" = "key $stat" ] || return 1
		while IFS= read -r line; do public="$public|$line$nl"; done
	} <"$note"
	[ "$line" = '' ] && case $public in "|-----BEGIN PUBLIC KEY-----$nl"*"|-----END PUBLIC KEY-----$nl") ;; *) false ;; esac
}
# block FILE FIRST LAST: our lines in a file of somebody else's, from FIRST to LAST, the order in which these two occur, and headings "[…]" outside: no other
# line, which may hold a password.
block() {
	if [ -f "$1" ]; then block=$1 first=$2 last=$3; fi
}
# read_block reads that file line by line, which takes a system call a byte: where it is small and awk is not needed for others, that is quicker. Fails where
# that is not so.
read_block() {
	[ -z "$pems$texts" ] && [ ! -L "$block" ] || return 1
	for stat in $stats; do
		case $stat in *" $block") break ;; esac
		stat=
	done
	stat=${stat%" $block"}
	stat=${stat% *}
	case ${stat##* } in '' | *[!0-9]* | ?????* | [3-9]???) return 1 ;; esac
	on= markers=
	while IFS= read -r line || [ -n "$line" ]; do
		if [ "$line" = "$first" ]; then
			on=yes markers=${markers}b
			printf 'markers %s\nblock\n' "$markers"
		fi
		if [ -n "$on" ]; then
			printf '|%s\n' "$line"
		else
			case ${line#"${line%%[! $tab]*}"} in '['*) printf 'others\n|%s\n' "$line" ;; esac
		fi
		if [ "$line" = "$last" ]; then
			on= markers=${markers}e
			printf 'markers %s\n' "$markers"
		fi
	done <"$block"
}
facts() {
	set -f
	IFS=$nl
	# shellcheck disable=SC2086 # one word a path
	{
		stats=
		[ -z "$there" ] || stats=$(stat -c 'meta %U %G %a %Y %u %s %i:%.9Z %n' -- /proc/self/. $there)
		[ -z "$stats" ] || printf '%s\n' "$stats"
		set -- $pems all=1 $texts
		[ -z "$block" ] || read_block || set -- block=1 "$block" block= "$@"
		[ $# = 1 ] || BEGIN=$first END=$last awk '
			block && $0 == ENVIRON["BEGIN"] { ours = 1; print "markers " (markers = markers "b") "\nblock" }
			block && ours { print "|" $0 }
			block && !ours && /^[ \t]*\[/ { print "others\n|" $0 }
			block && $0 == ENVIRON["END"] { ours = 0; print "markers " (markers = markers "e") }
			block { next }
			FNR == 1 { print (all ? "text " : "pem ") FILENAME; on = all; n = 0 }
			/^-----BEGIN CERTIFICATE-----/ || /^-----BEGIN X509 CRL-----/ { on = 1 }
			/PRIVATE KEY/ { on = 0 }
			on && (n += length($0) + 1) <= 1048576 { print "|" $0 }
			/^-----END CERTIFICATE-----/ || /^-----END X509 CRL-----/ { on = all }' "$@"
	}
	for key in $keys; do
		if noted "$key"; then
			printf 'pub %s\n%s' "$key" "$public"
		elif public=$(openssl pkey -in "$key" -passin pass: -pubout 2>/dev/null </dev/null); then
			printf 'pub %s\n' "$key"
			# shellcheck disable=SC2086 # one word a line
			printf '|%s\n' $public
		elif grep -q ENCRYPTED "$key"; then
			printf 'encrypted %s\n' "$key"
		fi
	done
	unset IFS
	set +f
}
printf 'uid %s\n' "${PGFLEET_UID:-$(id -u)}"
