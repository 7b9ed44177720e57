#!/bin/sh
# The one program that pgfleet may run on the host of authorities in mode restricted. Installed by "pgfleet authority restrict"; only root may change it.
#
#   "authority NAME" and the requests of ca.sh on standard input, answers on standard output; it takes no arguments
#   "ping": the version of openssl
#
# What ca.sh (below) may sign, /etc/pgfleet/policy/NAME says: "KEY VALUE" lines that only root may change. It is held against the very bytes
# that are to be signed, not against what the caller says of them. Refusals and signatures are logged: in the authority's folder, in the file log, and
# with logger(1). Before an authority is known: in /var/log/pgfleet-ca.log.

unset IFS
LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
if [ "${1-}" != inner ]; then
	# Nothing of the caller's environment goes on; so many bytes and seconds, and no more. All is read before anything is locked.
	from=${SUDO_USER:-root}${SSH_CLIENT:+ at ${SSH_CLIENT%% *}} asked=${SSH_ORIGINAL_COMMAND-} limit=''
	# Who sets it to something long would leave no room for the rest in a line of the log.
	[ ${#from} -le 100 ] || from=$(printf '%.100s' "$from")
	[ $# -eq 0 ] || asked="$0 $*"
	[ "$asked" != "$0" ] && [ "$asked" != "sudo -n $0" ] || asked=''
	command -v timeout >/dev/null 2>&1 && limit='timeout 300'
	# What is read may be a passphrase: only a printf of the shell's own keeps it out of sight.
	case $(command -v printf) in printf) ;; *) echo "this host's sh has no printf of its own" >&2; exit 2 ;; esac
	ulimit -c 0 2>/dev/null
	input=$($limit head -c 4194304 2>/dev/null)
	# Nor is anything told before all is done: who does not read would keep others from the authority, which is locked meanwhile.
	told=$(
		exec 3>&1
		errors=$(printf '%s\n' "$input" | /usr/bin/env -i PATH="$PATH" LC_ALL=C $limit /bin/sh "$0" inner "$from" "$asked" 2>&1 >&3 3>&-)
		printf '\n!%s\n%s' "$?" "$errors"
	)
	ended=${told##*"
!"}
	printf '%s' "${told%"
!"*}"
	case $ended in *"
"?*) printf '%s\n' "${ended#*"
"}" >&2 ;; esac
	exit "${ended%%"
"*}"
fi

umask 077
set -f
# Limits of who calls are not to end a program in the middle.
for limit in f t v d; do ulimit -$limit unlimited 2>/dev/null; done
ulimit -s 8192 2>/dev/null
ulimit -n 1024 2>/dev/null
cr=$(printf '\r') from=$2 asked=$3 log=/var/log/pgfleet-ca.log when='' today='' authority='' name=''

# say LEVEL TEXT: to the log and to syslog, as one line of plain characters. Fails where the log cannot be written.
say() {
	said="$from: ${name:+authority $name: }$2"
	case $said in *[!\ -~]*) said=$(printf '%s' "$said" | tr -c ' -~' '?') ;; esac
	said=$(printf '%.400s' "$said")
	[ -n "$when" ] || when=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	! command -v logger >/dev/null 2>&1 || logger -t pgfleet-ca -p "auth.$1" -- "$said" </dev/null >/dev/null 2>&1
	{ printf '%s %s %s\n' "$when" "$1" "$said" >>"$log"; } 2>/dev/null
}

# stop TEXT: the whole call is refused.
stop() {
	say warning "refused: $*"
	printf '%s\n' "$*" >&2
	exit 2
}

# only_roots PATH…: nobody but root may change these.
only_roots() {
	listing=$(ls -ldn "$@" 2>/dev/null </dev/null) || stop "cannot look at $*"
	while read -r mode _ owner _; do
		case $mode in
		l* | ?????w* | ????????w*) stop "$1 is a link, or can be changed by others than root" ;;
		esac
		[ "$owner" = 0 ] || stop "$1 does not belong to root"
		shift
	done <<END
$listing
END
	[ $# -eq 0 ] || stop "cannot look at $*"
}

# read_policy sets $folder, $names, $reserved, $per_day, $secret_file, and $rules, which ca_policy.awk knows.
read_policy() {
	folder='' names='' reserved='' per_day='' secret_file='' rules=''
	while IFS=' ' read -r key value || [ -n "$key" ]; do
		case $key in
		'' | '#'*) continue ;;
		folder) folder=$value ;;
		name) names="$names$value
" ;;
		reserved) reserved="$reserved$value
" ;;
		per_day) per_day=$value ;;
		passphrase_file) secret_file=$value ;;
		profile | life | list_least | authority) rules="$rules$key $value
" ;;
		*) stop "$file: the key $key is not known" ;;
		esac
		# A reserved user with either behind his name would be another one.
		case $value in *"$cr") stop "$file: lines end with a line feed alone, not with a carriage return too" ;; esac
		case $key/$value in authority/*) ;; *' #'*) stop "$file: $key: a comment has a line of its own" ;; esac
		case $key in per_day | life | list_least) case $value in '' | *[!0-9]* | ??????*) stop "$file: $key wants a number" ;; esac ;; esac
	done <"$file"
	[ -n "$folder" ] || stop "$file names no folder"
	lower "$reserved" || stop "$file cannot be read"
	reserved=$lowered
}

# lower TEXT: $lowered, in small letters.
lower() {
	lowered=$1
	case $1 in *[A-Z]*) lowered=$(printf '%s.' "$1" | tr A-Z a-z) && lowered=${lowered%.} ;; esac
	[ ${#lowered} -eq ${#1} ]
}

# matches TEXT PATTERNS: one of the patterns, one a line, fits. IFS is a line feed: a here-document would need a file in some shells, and with a full disk
# nothing would be compared.
matches() {
	for pattern in $2; do
		case $1 in $pattern) return 0 ;; esac
	done
	return 1
}

# wide NAME: $widened, what has to fit for a name with "*" in it, which stands for many: "*" alone, no "?".
wide() {
	left=$1 widened=''
	while :; do
		case $left in *'*'*) ;; *) break ;; esac
		widened=$widened${left%%'*'*}//////////////////////////////////////////////////////////////// left=${left#*'*'}
	done
	widened=$widened$left
}

# allowed NAMES: what the policy says of the names of a certificate for a $kind, one a line; $problem says why not.
allowed() {
	problem="$file: the names could not be judged"
	[ -n "$1" ] || return 1
	for one in $1; do
		problem="$file: the name \"$one\" is not allowed"
		wide "$one"
		matches "$one" "$names" && matches "$widened" "$names" || return 1
		problem="$file: the user \"$one\" is reserved"
		[ "$kind" != client ] || { lower "$one" && ! matches "$lowered" "$reserved"; } || return 1
	done
}

# permitted: ca.sh is about to sign $tbs for the request $verb with the algorithm $oid. $problem says what speaks against it. What the caller said of
# a certificate is replaced by what stands in it.
permitted() {
	[ -n "$authority" ] || authority=$(openssl x509 -in certs/ca.crt -outform DER </dev/null 2>/dev/null | od -An -v -to1 | tr -d '\n' | sed 's/ /\\/g')
	problem="the certificate of the authority cannot be read"
	[ -n "$authority" ] || return 1
	case $verb in
	certificate)
		problem="broken request"
		case $id in *[!0-9a-f]*) return 1 ;; esac
		[ -z "$revoke" ] || return 1
		problem="cannot read the records"
		[ -n "$today" ] || { today=$(find issued -type f ! -name '*.new' -mtime -1) && set -- $today && today=$#; } || return 1
		today=$((today + 1)) problem="$file: more than $per_day certificates within a day"
		[ -z "$per_day" ] || [ $today -le "$per_day" ] || return 1
		asking=certificate
		;;
	crl)
		problem="number $number of the list is far above the next one: no list could follow it"
		[ $((0x$number)) -le $((next + 100)) ] || return 1
		asking=list serial=''
		;;
	*)
		problem="$verb needs root on this host: pgfleet authority restrict $name"
		return 1
		;;
	esac
	found=$(printf '%s\n' "now $clock" "oid $oid" "${rules}serial $serial" "number $number" "ca $authority" "$asking $tbs" | awk "$policy_awk") || found=''
	kind=${found%%
*}
	problem="$file: ${kind#no }"
	case $asking/$kind in
	list/list)
		problem="cannot write to $log"
		say info "list $number"
		return
		;;
	certificate/server | certificate/client | certificate/authority) ;;
	*) [ -n "$kind" ] || problem="$file: the request could not be judged"; return 1 ;;
	esac
	found=${found#*
} subject=${found%%
*} found=${found#*
} profile=$kind
	problem="broken request"
	[ "$(printf "${found%%
*}" | digest)" = "$key" ] || return 1
	found=${found#*
}
	[ "$kind" != authority ] || same_authority || return 1
	if [ "$kind" != authority ]; then
		IFS=$nl
		allowed "$found" || { IFS=$spaces; return 1; }
		IFS=$spaces
	fi
	problem="cannot write to $log"
	say info "certificate $serial for a $kind: $subject"
}

# digest: SHA-256 of standard input.
digest() {
	sum=$(sha256sum 2>/dev/null) || sum=$(openssl dgst -sha256 -r)
	printf '%s' "${sum%% *}"
}

# same_authority: the authority below this one, $subject, has had no other key. A new key comes with a new name, which needs another policy. Nor was it revoked. A record
# that was taken over from index.txt does not tell its key: it counts as another.
same_authority() {
	! key_revoked || return 1
	profile=ca problem="authority $subject has another key: a new one gets a new name (where the records were lost: pgfleet authority restore --records $name)"
	strangers=$(find issued pending -type f ! -name '*.new' ! -name work -exec awk -v key="$key" '
		FNR == 1 { ca = own = 0 }
		$0 == "profile ca" || $0 == "profile imported" { ca = 1 }
		$0 == "key " key { own = 1 }
		$1 == "subject" && ca && !own { print substr($0, 9) }' {} + </dev/null) || { problem="cannot read the records"; return 1; }
	case "
$strangers
" in *"
$subject
"*) return 1 ;; esac
}

# same_place: the certificate that is to be installed (pending/ca.crt) takes the place of a former one below the same chain. $problem says why not.
same_place() {
	problem="another chain above the authority needs root on this host: pgfleet authority restrict $name"
	cmp -s pending/chain.crt certs/chain.crt || return 1
	problem="the certificate has another subject than the authority"
	one=$(openssl x509 -in pending/ca.crt -subject -noout </dev/null 2>/dev/null) && [ -n "$one" ] && [ "$one" = "$(openssl x509 -in certs/ca.crt -subject -noout </dev/null 2>/dev/null)" ] || return 1
	openssl x509 -in pending/ca.crt -out pending/one.crt </dev/null 2>/dev/null && mv -f pending/one.crt pending/ca.crt || return 1
	say info "a new certificate of the authority is installed"
}

# about: what is installed here, for status.
about() {
	printf 'program %s\n' "$(digest <"$0")"
	files policy "$file"
}

policy_awk='@POLICY@'

[ -z "$asked" ] || stop "something else was asked for: $asked"
IFS=' ' read -r word want
[ -n "$word" ] || stop "nothing was asked"
if [ "$word" = ping ]; then
	openssl version </dev/null
	exit
fi
[ "$word" = authority ] || stop "this program is spoken to by pgfleet alone"
case $want in '' | [!A-Za-z0-9_]* | *[!A-Za-z0-9_-]*) stop "authority: letters, digits, _ and - make its name" ;; esac
file=/etc/pgfleet/policy/$want
[ -f "$file" ] || stop "this host has no policy for an authority $want: pgfleet authority restrict $want"
only_roots /etc /etc/pgfleet /etc/pgfleet/policy "$file" "${0%/*}" "$0"
read_policy
[ -f "$folder/authority" ] && read -r _ _ name <"$folder/authority" && [ "$name" = "$want" ] || stop "$folder is not the folder of authority $want"
only_roots "$folder"
log=$folder/log
set -- "$folder" restricted
