# The one program through which pgfleet speaks to the host of an authority. POSIX sh and openssl, nothing else.
#
#   sh ca.sh DIR <requests >answers
#
# In mode restricted it is installed behind ca_restricted.sh, which calls it with "restricted" after DIR and says what may be signed (permitted).
#
# DIR is the authority's folder:
#   authority             who made it: "pgfleet 1 NAME"
#   keys/ca.key           the private key; it is never printed, copied or sent
#   keys/ca.pkcs11        instead of it, where the key is in a token: its URI (RFC 7512)
#   certs/ca.crt          its certificate; certs/chain.crt: the certificates above it
#   crl/ca.crl            the newest list of revoked certificates
#   issued/SERIAL         one record a certificate: facts, then PEM. These and revoked/ are the truth
#   revoked/SERIAL        one line: SERIAL, time, reason, end of the certificate
#   index.txt, index.txt.attr, crlnumber, openssl.cnf    for users of "openssl ca": rebuilt from the records, compared at each request;
#                         what is found only there (revoked by hand) is taken over into the records
#   requests/ID           serial number issued for a request;  holders/KEY: host that has a key.  Both only speed up, and are made from the records
#   pending/              work that was cut short; nothing in it has left this host
#
# Input: "pgfleet-ca 1 TIME" (the caller's clock in seconds since 1970, 0: not compared), then requests: "request VERB", one "NAME VALUE" a line, "end".
# Bytes are written as \ooo. Output: "pgfleet-ca 1 TIME SKEW", then answers in the same order: "answer VERB ok|refused", fields, "end". Lines of
# a file follow their field's name, each with "|" before it. A refused request fails alone. Exit 2: the program as a whole could not
# work, the reason is on stderr.
#
# A key with a passphrase: "passphrase BYTES", or "passphrase-file BYTES" with the path of a file of this host, before the requests. The key is
# opened once, into this shell's memory; where that does not work, "answer unlock refused" is all that is answered. Passphrase and opened key are
# in no file, argument or environment of any process: openssl gets them through pipes, from the shell's own printf.
#
# Values of requests are data: each is checked against what its field may hold, none becomes part of a command's text.

set -f
umask 077
IFS=' 	
'
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
LC_ALL=C
export PATH LC_ALL
# The machine's own authorities take openssl longer to load than all the rest, and have no say here.
SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
export SSL_CERT_FILE SSL_CERT_DIR
unset OPENSSL_CONF

spaces=$IFS
nl='
'
tab='	'
dir=${1-} policy=${2-}
locked='' reconciled='' unsettled='' staged='' queue='' rows='' skew=0 public='' proved='' laid=''
secret='' named='' clear='' signer=keys/ca.key token='' room=''

die() {
	[ -z "$policy" ] || say warning "refused: $*"
	printf '%s\n' "$*$(excuse "$*")" >&2
	exit 2
}

refuse() {
	[ -z "$policy" ] || say warning "refused: $verb: $*"
	printf 'answer %s refused\nreason %s\nend\n' "$verb" "$*$(excuse "$*")"
}

# excuse TEXT: where TEXT says that writing did not work, what the system says of it: a full disk, say.
excuse() {
	case $1 in "cannot write"*) ;; *) return ;; esac
	wrong=$(head -c 16384 /dev/zero 2>&1 >.room) || printf ': %s' "${wrong##*: }"
	rm -f .room
}

# outdated: refused because the caller saw the records as they were before; another look mends it.
outdated() {
	[ -z "$policy" ] || say warning "refused: $verb: $*"
	printf 'answer %s refused\nstale yes\nreason %s\nend\n' "$verb" "$*"
}

# files [NAME PATH]…: fields whose values are files.
files() {
	list=''
	while [ $# -gt 0 ]; do
		[ ! -f "$2" ] || list="$list name=$1 $2"
		shift 2
	done
	[ -z "$list" ] || awk '
		FNR == 1 { if (n++) print ""; print name }
		{ print "|" $0 }
		END { print "" }' $list </dev/null
}

# text NAME TEXT: a field whose value is a text.
text() {
	IFS=$nl
	printf '%s\n' "$1"
	printf '|%s\n' $2
	printf '\n'
	IFS=$spaces
}

# any FOLDER: there is something in it.
any() {
	set +f
	set -- "$1"/*
	set -f
	[ -e "$1" ]
}

is_hex() {
	case $1 in '' | *[!0-9A-F]*) return 1 ;; esac
	[ $((${#1} % 2)) -eq 0 ] && [ ${#1} -le 40 ]
}

is_word() {
	case $1 in '' | -* | .* | *[!A-Za-z0-9._:-]*) return 1 ;; esac
	[ ${#1} -le 253 ]
}

is_bytes() {
	case $1 in '' | *[!0-7\\]*) return 1 ;; esac
	[ $((${#1} % 4)) -eq 0 ]
}

# put PATH TEXT: the file PATH, whole or not at all.
put() {
	printf '%s\n' "$2" >"$1.new" && durable "$1.new" && mv -f "$1.new" "$1"
}

# durable FILE…: on disk. Where sync takes no files it syncs all.
durable() {
	sync "$@" </dev/null 2>/dev/null || sync
}

# ---- the folder

# check_path refuses a DIR below a folder that somebody else could change. It sets $modes to what status tells of what is in DIR: it is asked for together.
check_path() {
	case $dir in
	/*[!A-Za-z0-9./_-]* | */../* | */.. | */./* | */. | *//* | */) die "folder of the authority: $dir: write a plain absolute path of letters, digits, '.', '_', '-'" ;;
	/?*) ;;
	*) die "folder of the authority: $dir: write an absolute path" ;;
	esac
	uid=${PGFLEET_UID:-$(id -u)} path='' list='/' rest=${dir#/}
	while [ -n "$rest" ]; do
		path=$path/${rest%%/*}
		if [ ! -e "$path" ] && [ ! -L "$path" ]; then
			[ -x "${path%/*}/" ] || die "cannot look into ${path%/*}"
			break
		fi
		list="$list $path"
		case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
	done
	inside='' modes=''
	if [ -z "$rest" ]; then
		for path in keys certs issued revoked crl keys/ca.key keys/ca.pkcs11; do
			if [ -e "$dir/$path" ] || [ -L "$dir/$path" ]; then inside="$inside $dir/$path"; fi
		done
	fi
	# Names come sorted, so these last.
	listing=$(ls -ldn $list $inside </dev/null) || listing=$(ls -ldn $list </dev/null) || die "cannot look at $dir"
	set -- $list
	while read -r mode _ owner facts; do
		if [ $# -eq 0 ]; then
			facts=${facts%% -> *}
			modes="$modes$mode $owner ${facts##* "$dir/"}$nl"
			continue
		fi
		case $mode in
		l*) die "folder of the authority: $1 is a symbolic link: name the real path" ;;
		d*) ;;
		*) die "folder of the authority: $1 is not a folder" ;;
		esac
		[ "$owner" = 0 ] || [ "$owner" = "$uid" ] || die "folder of the authority: $1 belongs to user $owner, who could change what is in it"
		case $mode in
		d????????[tT]*) ;;
		d????w* | d???????w*) die "folder of the authority: others may write to $1: close it (chmod go-w $1)" ;;
		esac
		[ $# -gt 1 ] || [ -n "$rest" ] || modes="$mode $owner .$nl"
		shift
	done <<END
$listing
END
	[ $# -eq 0 ] || die "cannot look at $dir"
}

# look sets $state: absent, empty, foreign (and $others: what is in it) or ours (and $name).
look() {
	state=absent others='' name=''
	[ -d "$dir" ] || return 0
	cd "$dir" || die "cannot enter $dir"
	if [ -f authority ]; then
		read -r made version name <authority
		[ "$made $version" = 'pgfleet 1' ] || die "$dir/authority was not written by this version of pgfleet"
		state=ours
		return 0
	fi
	others=$(ls -A </dev/null) || die "cannot read $dir"
	kept=''
	for other in $others; do
		case $other in lock | lock.d | lock.d.* | pending | authority.new) ;; *) kept="$kept $other" ;; esac
	done
	others=${kept# } state=empty
	[ -z "$others" ] || state=foreign
}

lock() {
	[ "$locked" != yes ] || return 0
	locked=yes tries=0
	if command -v flock >/dev/null 2>&1; then
		exec 9>>lock || die "cannot write to $dir"
		until flock -n 9; do
			wait_for_lock
		done
	else
		trap 'rm -rf "$dir/lock.d"' EXIT
		trap 'exit 2' HUP INT TERM
		until mkdir lock.d 2>/dev/null; do
			steal_lock
			wait_for_lock
		done
		echo $$ >lock.d/pid
	fi
	if [ ! -d pending ]; then
		mkdir -m 700 pending || die "cannot write to $dir"
	elif left_over; then
		set +f
		rm -rf pending/* || die "cannot write to $dir"
		set -f
	fi
}

# left_over: there is more in pending than the file work, which is begun anew each time it is used.
left_over() {
	set +f
	set -- pending/*
	set -f
	[ -e "$1" ] && [ "$*" != pending/work ]
}

wait_for_lock() {
	tries=$((tries + 1))
	[ $tries -le 300 ] || die "another program has held $dir/lock for too long"
	sleep 0.1 2>/dev/null </dev/null || sleep 1
}

# steal_lock takes the lock of a process that is gone away.
steal_lock() {
	holder='' again=''
	[ -f lock.d/pid ] && read -r holder <lock.d/pid
	case $holder in '' | *[!0-9]*) [ $tries -lt 50 ] && return 0 ;; *) kill -0 "$holder" 2>/dev/null && return 0 ;; esac
	mv lock.d "lock.d.$$" 2>/dev/null || return 0
	[ -f "lock.d.$$/pid" ] && read -r again <"lock.d.$$/pid"
	if [ "$again" = "$holder" ]; then rm -rf "lock.d.$$"; else mv "lock.d.$$" lock.d; fi
}

# ready: the folder is ours and locked, records and index agree.
ready() {
	if [ "$state" != ours ]; then
		refuse "there is no authority of pgfleet in $dir"
		return 1
	fi
	lock
	{ [ -d requests ] && [ -d holders ] && [ -d issued ] && [ -d revoked ]; } || lay_out || die "cannot set up $dir"
	reconcile
}

# ---- records and index

# compare prints what differs between records and index.txt, one "WHAT|…" a line. With status as its first argument it prints fields: the files that
# are its other arguments (name=NAME PATH), what differs, and what is revoked.
compare() {
	all=${1-}
	[ $# -eq 0 ] || shift
	[ -f index.txt ] && index=index.txt || index=/dev/null
	set +f
	printf '%s\n' issued/* revoked/* | awk -F'\t' -v status="$all" '
		function differs(what, serial, more) { print status ? "differs " what " " serial : what "|" serial more }
		name != "" { if (FNR == 1) { if (shown++) print ""; print name } print "|" $0; next }
		names {
			if (shown) { print ""; shown = 0 }
			if (split($0, f, "/") != 2) next
			if (f[1] == "revoked" && f[2] != "*" && f[2] !~ /\.new$/) record[++many] = $0
			if (f[2] ~ /^[0-9A-F]+$/) { if (f[1] == "issued") issued[f[2]] = 1; else revoked[f[2]] = 1 }
			next
		}
		{
			s = toupper($4)
			if (length(s) % 2) s = "0" s
			if (NF != 6 || s !~ /^[0-9A-F]+$/ || length(s) > 40 || $1 !~ /^[VRE]$/ || $2 !~ /^[0-9]+Z$/ || s in row ||
				($1 == "R") != ($3 ~ /^[0-9]+Z(,.*)?$/)) { differs("unreadable", FNR); next }
			row[s] = $1
			if ($4 != s) differs("respell", s)
			if (!(s in issued)) differs("import", s, "|" $2 "|" $6)
			if ($1 == "R" && !(s in revoked)) { split($3, r, ","); differs("revoked", s, "|" $2 "|" r[1] "|" r[2]) }
			if ($1 != "R" && s in revoked) differs("mark", s)
		}
		END {
			for (s in issued) if (!(s in row)) differs("add", s)
			for (i = 1; status && i <= many; i++) {
				while ((getline line <record[i]) > 0) print "revoked", line
				close(record[i])
			}
		}' "$@" name= names=1 - names= $index
	code=$?
	set -f
	return $code
}

# reconcile takes over what only index.txt knows, then rebuilds it where it differs from the records.
reconcile() {
	[ -z "$reconciled" ] || return 0
	reconciled=yes
	[ -s index.txt ] || any issued || any revoked || return 0
	compare >pending/work || die "cannot compare $dir/index.txt with the records"
	[ -s pending/work ] || return 0
	some=''
	while IFS='|' read -r what item until facts; do
		case $what in
		import)
			put "issued/$item" "pgfleet 1${nl}serial $item${nl}profile imported${nl}expires $until${nl}subject $facts" || die "cannot write to $dir/issued"
			printf 'note imported certificate %s from index.txt\n' "$item"
			;;
		revoked)
			known_reason "${facts#*|}"
			put "revoked/$item" "$item ${facts%%|*} $cause $until" || die "cannot write to $dir/revoked"
			printf 'note certificate %s was revoked by hand\n' "$item"
			;;
		unreadable)
			cp index.txt index.txt.unreadable
			printf 'note line %s of index.txt could not be read; the file as it was is index.txt.unreadable\n' "$item"
			;;
		esac
		some=yes
	done <pending/work
	[ -n "$some" ] || die "cannot take over what is in $dir/index.txt alone"
	rebuild
}

# known_reason NAME: $cause, by the names of openssl ca.
known_reason() {
	case $1 in
	unspecified | keyCompromise | CACompromise | affiliationChanged | superseded | cessationOfOperation | certificateHold) cause=$1 ;;
	keyTime) cause=keyCompromise ;;
	CAkeyTime) cause=CACompromise ;;
	holdInstruction) cause=certificateHold ;;
	*) cause=unspecified ;;
	esac
}

# rebuild writes index.txt from the records.
rebuild() {
	find revoked -type f ! -name '*.new' -exec cat {} + </dev/null >pending/revoked || die "cannot read $dir/revoked or write to $dir/pending"
	find issued -type f ! -name '*.new' -exec awk -v list=pending/revoked '
		BEGIN { while ((getline line <list) > 0) { split(line, f, " "); at[f[1]] = f[2] "," f[3] } }
		function row() {
			if (serial == "") return
			sub(/,unspecified$/, "", at[serial])
			print (at[serial] ? "R" : "V") "\t" expires "\t" at[serial] "\t" serial "\tunknown\t" subject
		}
		FNR == 1 { row(); serial = expires = subject = "" }
		$1 == "serial" { serial = $2 }
		$1 == "expires" { expires = $2 }
		$1 == "subject" { subject = substr($0, 9) }
		END { row() }' {} + </dev/null >index.txt.new || die "cannot read $dir/issued"
	durable index.txt.new
	mv -f index.txt.new index.txt || die "cannot write $dir/index.txt"
}

# ---- the key

# encrypted FILE: a key in it has a passphrase.
encrypted() {
	first='' second=''
	[ ! -f "$1" ] || { IFS= read -r first && IFS= read -r second; } <"$1"
	case "$first$second" in *'BEGIN ENCRYPTED PRIVATE KEY'* | *'Proc-Type: 4,ENCRYPTED'*) ;; *) return 1 ;; esac
}

# locked_out REASON ends the program: the key cannot be opened. In mode restricted it is logged; what is wrong with a file that was named is in the log
# alone: else any file of this host could be asked for.
locked_out() {
	[ -z "$room" ] || rm -rf "$room"
	if [ -n "$policy" ]; then
		say warning "refused: $1"
		[ -z "$named" ] || set -- "the file with the passphrase does not open the key: $log on this host says why"
	fi
	printf 'answer unlock refused\nreason %s\nend\n' "$1"
	exit 0
}

# unseen: what is given to printf stays in this shell's memory.
unseen() {
	case $(command -v printf) in printf) ;; *) locked_out "this host's sh has no printf of its own, and another program's arguments can be seen by everybody" ;; esac
	ulimit -c 0 2>/dev/null
}

# unlock opens the key, if there is one, with $secret.
unlock() {
	unseen
	[ "$state" = ours ] || return 0
	if [ -f keys/ca.pkcs11 ]; then
		IFS= read -r signer <keys/ca.pkcs11
		open_token
		return
	fi
	[ -f keys/ca.key ] || return 0
	encrypted keys/ca.key || locked_out "$dir/keys/ca.key has no passphrase, but one was given"
	clear=$(printf '%s\n' "$secret" | openssl pkey -in keys/ca.key -passin stdin 2>/dev/null) && [ -n "$clear" ] ||
		locked_out "the passphrase does not open $dir/keys/ca.key"
	signer=/dev/stdin
}

# open_token logs in to the token once, with $secret as its PIN: a wrong one is not tried again and again, which tokens count. $signer is the URI of its
# key, $token the public half then.
open_token() {
	case $signer in
	*'?module-path='*)
		PKCS11_MODULE_PATH=${signer#*'?module-path='} signer=${signer%%'?'*}
		export PKCS11_MODULE_PATH
		;;
	esac
	case $signer in *'type='*) ;; *) signer="$signer;type=private" ;; esac
	token=yes
	said=$({ keyed pkey -in "$signer" -pubout; } 2>&1)
	token=-----BEGIN${said#*-----BEGIN} token=${token%%-----END*}'-----END PUBLIC KEY-----'
	case $said in
	*'-----END PUBLIC KEY-----'*) ;;
	*'PIN incorrect'*) locked_out "the PIN does not open the token of $signer; tokens lock themselves after some wrong ones" ;;
	*'PIN locked'*) locked_out "the token of $signer has locked itself, after too many wrong PINs" ;;
	*'invalid engine'* | *'could not load the shared library'*) locked_out "openssl on this host has no engine pkcs11: apt-get install libengine-pkcs11-openssl (or openssl-pkcs11)" ;;
	*) locked_out "there is no key $signer: pkcs11-tool --list-objects --login on this host shows what its tokens have" ;;
	esac
}

# read_secret FILE: $secret is its first line. It has to be closed to others.
read_secret() {
	named=$1
	case $1 in /*) ;; *) locked_out "broken request" ;; esac
	listing=$(ls -ldn "$1" </dev/null 2>/dev/null) || locked_out "the file with the passphrase, $1, is not there"
	read -r mode _ owner _ <<END
$listing
END
	case $mode in -???------*) ;; *) locked_out "the file with the passphrase, $1, has to be a plain file that is closed to others (it is $mode): chmod 600" ;; esac
	[ "$owner" = 0 ] || [ "$owner" = "$uid" ] || locked_out "the file with the passphrase, $1, belongs to user $owner, who could change it"
	IFS= read -r secret <"$1" || [ -n "$secret" ] || locked_out "the file with the passphrase, $1, is empty or cannot be read"
}

# opened: nothing has to be given any more before the key can be used; $problem says what. $keyname is what the key is called.
opened() {
	keyname=$dir/keys/ca.key problem="$dir/keys/ca.key has a passphrase, and none was given"
	if [ -f keys/ca.pkcs11 ]; then
		IFS= read -r keyname <keys/ca.pkcs11
		problem="the key $keyname is in a token, and no PIN was given"
		[ -n "$token" ]
	else
		[ -n "$clear" ] || ! encrypted keys/ca.key
	fi
}

# public_half: $public, of the key that is opened.
public_half() {
	[ -z "$public" ] || return 0
	public=$token
	[ -n "$token" ] || public=$(keyed pkey -in "$signer" -pubout 2>/dev/null)
}

# keyed WORD…: openssl with these words, among them $signer. It ends the shell that it is called in, which has to be a subshell.
keyed() {
	if [ -n "$token" ]; then
		tool=$1
		shift
		case $tool in pkey) set -- -inform engine "$@" ;; *) set -- -keyform engine "$@" ;; esac
		printf '%s\n' "$secret" | openssl "$tool" -engine pkcs11 -passin stdin "$@"
	elif [ -n "$clear" ]; then
		printf '%s\n' "$clear" | openssl "$@"
	else
		exec openssl "$@" </dev/null
	fi
}

# ---- signing

# sign NAME: signs $tbs, which pending/NAME has then, and adds it to pending/work, from which assemble makes what is whole. $problem says why not.
sign() {
	case $algorithm in
	ecdsa-with-SHA256) digest=-sha256 oid='\060\012\006\010\052\206\110\316\075\004\003\002' ;;
	ecdsa-with-SHA384) digest=-sha384 oid='\060\012\006\010\052\206\110\316\075\004\003\003' ;;
	ecdsa-with-SHA512) digest=-sha512 oid='\060\012\006\010\052\206\110\316\075\004\003\004' ;;
	sha256WithRSAEncryption) digest=-sha256 oid='\060\015\006\011\052\206\110\206\367\015\001\001\013\005\000' ;;
	ed25519) digest='' oid='\060\005\006\003\053\145\160' ;;
	*)
		problem="signature algorithm is not known"
		return 1
		;;
	esac
	opened || return 1
	[ -z "$policy" ] || permitted || return 1
	problem="openssl could not sign with $keyname"
	printf "$tbs" >"pending/$1" || return 1
	if [ -n "$digest" ]; then
		hex=$(keyed dgst $digest -hex -sign "$signer" "pending/$1" 2>/dev/null) || return 1
		hex=${hex##*= }
	else
		problem="$problem: signing with Ed25519 needs OpenSSL 3"
		(keyed pkeyutl -sign -rawin -inkey "$signer" -in "pending/$1" -out pending/signature 2>/dev/null) || return 1
		hex=''
		for byte in $(od -An -v -tx1 pending/signature </dev/null); do hex=$hex$byte; done
	fi
	case $hex in '' | *[!0-9a-fA-F]*) return 1 ;; esac
	problem="cannot write to $dir"
	[ -n "$staged" ] || : >pending/work || return 1
	printf '%s\n' "$1 $oid $tbs $hex" >>pending/work || return 1
	problem=''
}

# assembled: $made has a line for each that was signed: NAME, serial number and end as index.txt writes them, as they stand in what was signed ("-" where
# they cannot be read, and for a list), then the whole in base64, 64 characters a word.
assembled() {
	made=$(awk '
	function out(v) {
		bits = bits * 256 + v
		if (++held < 3) return
		word = word c[int(bits / 262144)] c[int(bits / 4096) % 64] c[int(bits / 64) % 64] c[bits % 64]
		held = bits = 0
		if (length(word) == 64) { printf " %s", word; word = "" }
	}
	function flush() {
		if (held == 1) word = word c[int(bits / 4)] c[bits % 4 * 16] "=="
		if (held == 2) word = word c[int(bits / 1024)] c[int(bits / 16) % 64] c[bits % 16 * 4] "="
		print (word == "" ? "" : " " word)
		word = ""; held = bits = 0
	}
	function size(n) { return n < 128 ? 2 : n < 256 ? 3 : n < 65536 ? 4 : 5 }
	function head(tag, n) {
		out(tag)
		if (n > 65535) { out(131); out(int(n / 65536)) } else if (n > 255) out(130); else if (n > 127) out(129)
		if (n > 255) out(int(n / 256) % 256)
		out(n % 256)
	}
	# item reads tag and length of what begins with byte p: T tag, C begin of its content, E the byte behind it.
	function item(p,   n) {
		T = octet[t[p]]; n = octet[t[p + 1]]; C = p + 2
		if (n > 127) {
			E = n - 128; n = 0
			while (E-- > 0 && C <= most) n = n * 256 + octet[t[C++]]
		}
		E = C + n
		if (E > most + 1) { T = -1; E = C = most + 1 }
	}
	function facts(   i) {
		serial = until = "-"
		item(2); if (T != 48) return
		item(C); if (T != 160) return
		item(E); if (T != 2) return
		serial = ""
		for (i = C; i < E; i++) serial = serial sprintf("%02X", octet[t[i]])
		if (length(serial) > 2) sub(/^00/, "", serial)
		item(E); item(E); item(E); if (T != 48) return
		item(C); item(E); if (T != 23 && T != 24) return
		until = ""
		for (i = C; i < E; i++) until = until sprintf("%c", octet[t[i]])
		if (until !~ /^[0-9]+Z$/) until = "-"
	}
	BEGIN {
		for (i = 0; i < 256; i++) { octet[sprintf("%03o", i)] = i; byte[sprintf("%02x", i)] = i }
		for (i = 0; i < 64; i++) c[i] = substr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i + 1, 1)
	}
	{
		most = split($3, t, "\\"); oids = split($2, o, "\\"); hex = tolower($4); half = length(hex) / 2
		for (i = 2; i <= most; i++) if (!(t[i] in octet)) exit 1
		for (i = 0; i < half; i++) if (!(substr(hex, 2 * i + 1, 2) in byte)) exit 1
		facts()
		printf "%s %s %s", $1, serial, until
		head(48, most - 1 + oids - 1 + size(half + 1) + half + 1)
		for (i = 2; i <= most; i++) out(octet[t[i]])
		for (i = 2; i <= oids; i++) out(octet[o[i]])
		head(3, half + 1); out(0)
		for (i = 0; i < half; i++) out(byte[substr(hex, 2 * i + 1, 2)])
		flush()
	}' pending/work </dev/null)
}

# pem KIND LINE: $pem, what a line of $made has.
pem() {
	IFS=' '
	set -- "$1" ${2#* * * }
	label=$1
	shift
	IFS=$nl
	pem="-----BEGIN $label-----$nl$*$nl-----END $label-----"
	IFS=$spaces
}

# clocks refuses to sign when this host's clock and the caller's differ by more than certificates are backdated.
clocks() {
	[ "$skew" -gt 300 ] || [ "$skew" -lt -300 ] || return 0
	refuse "the clock of this host differs by $skew s from that of the machine that runs pgfleet: certificates would not be valid yet, or too long; set the clocks"
	return 1
}

# ---- requests

# new_key makes keys/ca.key.new, and $public and what ask gives with it. $problem says why not.
new_key() {
	problem="openssl on this host cannot make a key of type $type"
	case $type in
	ecdsa-p256) set -- EC -pkeyopt ec_paramgen_curve:prime256v1 -pkeyopt ec_param_enc:named_curve ;;
	ecdsa-p384) set -- EC -pkeyopt ec_paramgen_curve:secp384r1 -pkeyopt ec_param_enc:named_curve ;;
	rsa-2048 | rsa-3072 | rsa-4096) set -- RSA -pkeyopt "rsa_keygen_bits:${type#rsa-}" ;;
	ed25519) set -- ED25519 ;;
	*) return 1 ;;
	esac
	if [ -z "$secret" ]; then
		ask -nodes -keyout keys/ca.key.new -newkey "$@" && whole keys/ca.key.new && return
		# An older OpenSSL: in two steps.
		openssl genpkey -algorithm "$@" </dev/null >keys/ca.key.new 2>/dev/null || return 1
		signer=keys/ca.key.new public=''
		ask -key "$signer"
		signer=keys/ca.key
	else
		sealed_key "$@" >keys/ca.key.new || return 1
		public=$(printf '%s\n' "$secret" | openssl pkey -in keys/ca.key.new -passin stdin -pubout 2>/dev/null)
	fi
	# A full disk cuts the file without an error of openssl's.
	problem="the key in $dir/keys cannot be read back; is the disk full?"
	[ -n "$public" ]
}

# sealed_key prints a new key of the type in its arguments, encrypted with $secret.
sealed_key() {
	# scrypt is not in OpenSSL 1.0.2, nor where only FIPS-approved algorithms are allowed.
	for kdf in -scrypt '-v2prf hmacWithSHA256 -iter 600000' ''; do
		printf '%s\n' "$secret" | { openssl genpkey -algorithm "$@" </dev/null 2>/dev/null | openssl pkcs8 -topk8 -v2 aes-256-cbc $kdf -passout fd:3 2>/dev/null; } 3<&0 && return
	done
	return 1
}

# whole FILE: a key is there from its first line to its last.
whole() {
	first='' last=''
	while IFS= read -r line; do first=${first:-$line} last=$line; done <"$1"
	line=''
	[ "$first" = '-----BEGIN PRIVATE KEY-----' ] && [ "$last" = '-----END PRIVATE KEY-----' ]
}

# ask WORD…: $public, of the key that the words name or have made, and $request, for it.
ask() {
	printf '[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=pgfleet-request\n' >pending/work
	request=$(keyed req -new -pubkey -config pending/work -utf8 -subj "${subject:-/CN=pgfleet-request}" "$@" 2>/dev/null) || request=''
	case $request in
	'-----BEGIN PUBLIC KEY-----'*'-----END PUBLIC KEY-----'*'-----BEGIN '*' REQUEST-----'*) ;;
	*)
		request=''
		return 1
		;;
	esac
	[ -n "$public" ] || public=${request%%"-----END PUBLIC KEY-----"*}'-----END PUBLIC KEY-----'
	request=${request#*"-----END PUBLIC KEY-----$nl"}
}

# init-key: the folder and the key, where they are missing. Answers with the public key and, if asked for, a request.
do_init_key() {
	is_word "$want" || { refuse "name of the authority: letters, digits, '.', '_' and '-'" && return; }
	if [ -n "$policy" ] && { [ ! -f keys/ca.key ] && [ ! -f keys/ca.pkcs11 ] || [ -n "$subject" ]; }; then
		refuse "a new key, and a request for an authority elsewhere, need root on this host: pgfleet authority restrict $name"
		return
	fi
	case $state in
	foreign)
		refuse "$dir holds something that pgfleet did not make ($others): name another folder for this authority"
		return
		;;
	absent) make_folder || { refuse "cannot make $dir" && return; } ;;
	ours) [ "$name" = "$want" ] || { refuse "$dir belongs to authority $name" && return; } ;;
	esac
	lock
	name=$want
	lay_out || { refuse "cannot set up $dir" && return; }
	state=ours
	reconcile
	made=no request=''
	if [ -n "$uri" ]; then
		take_token || return
	elif [ -f keys/ca.pkcs11 ]; then
		refuse "its key is in a token ($dir/keys/ca.pkcs11), and the inventory says nothing of it"
		return
	elif [ ! -f keys/ca.key ]; then
		if [ -e certs/ca.crt ]; then
			refuse "$dir/certs/ca.crt is there, but its key is missing: bring back $dir/keys/ca.key from its backup, or declare a new authority"
			return
		fi
		new_key || { refuse "$problem" && return; }
		durable keys/ca.key.new keys
		mv -f keys/ca.key.new keys/ca.key || { refuse "cannot write to $dir/keys" && return; }
		durable keys
		made=yes
		[ -z "$secret" ] || unlock
	else
		opened || { refuse "$problem" && return; }
		[ "$csr" = yes ] && ask -key "$signer" || public_half
	fi
	[ -n "$public" ] || { refuse "openssl cannot read $dir/keys/ca.key" && return; }
	[ "$csr" != yes ] || [ -n "$request" ] || ask -key "$signer" || { refuse "openssl cannot make a request from $dir/keys/ca.key" && return; }
	printf 'answer %s ok\nmade %s\n' "$verb" "$made"
	text publickey "$public"
	[ "$csr" != yes ] || text csr "$request"
	printf 'end\n'
}

# take_token has the key in a token be the authority's from now on; nothing of it is on disk but its URI.
take_token() {
	is_bytes "$uri" || { refuse "broken request" && return 1; }
	uri=$(printf "$uri") known=$(printf "$uri")
	[ ! -f keys/ca.key ] || { refuse "its key is in a file, $dir/keys/ca.key: to move it, put it into the token by hand, and this file away" && return 1; }
	[ ! -f keys/ca.pkcs11 ] || IFS= read -r known <keys/ca.pkcs11
	[ "$known" = "$uri" ] || { refuse "its key is $known, not $uri: an authority keeps its key; declare a new authority" && return 1; }
	if [ -z "$token" ]; then
		signer=$uri
		open_token
	fi
	public=$token
	[ ! -f certs/ca.crt ] || [ "$public" = "$(openssl x509 -in certs/ca.crt -pubkey -noout </dev/null 2>/dev/null)" ] || { refuse "the key $uri does not belong to $dir/certs/ca.crt" && return 1; }
	# Of several keys without ids of their own, or with the same, a private and a public half that do not belong together are found.
	printf '%s\n' "$public" >pending/public && (keyed dgst -sha256 -sign "$signer" -out pending/trial authority 2>/dev/null) &&
		openssl dgst -sha256 -verify pending/public -signature pending/trial authority </dev/null >/dev/null 2>&1 ||
		{ refuse "the key $uri does not sign what its public half verifies: give each key in the token an id of its own (pkcs11-tool --id)" && return 1; }
	[ -f keys/ca.pkcs11 ] || put keys/ca.pkcs11 "$uri" || { refuse "cannot write to $dir/keys" && return 1; }
	durable keys
}

make_folder() {
	[ -d "${dir%/*}/" ] || { umask 022 && mkdir -p "${dir%/*}/"; }
	umask 077
	mkdir -m 700 "$dir" "$dir/pending" && cd "$dir" && laid=new
}

# lay_out makes what is missing in the folder, first the file that says whose it is, and closes it to others. What was made just now is closed.
lay_out() {
	pointers=there
	[ -d requests ] && [ -d holders ] || pointers=missing
	lacking=''
	for part in authority index.txt.attr crlnumber openssl.cnf; do
		if [ ! -f $part ]; then
			lacking="$lacking pending/$part"
			case $part in
			authority) echo "pgfleet 1 $name" ;;
			index.txt.attr) echo 'unique_subject = no' ;;
			crlnumber) echo 01 ;;
			openssl.cnf) openssl_config ;;
			esac >pending/$part || return 1
		fi
	done
	if [ ! -f index.txt ] && ! any issued && ! any revoked; then
		: >pending/index.txt || return 1
		lacking="$lacking pending/index.txt"
	fi
	[ -z "$lacking" ] || { durable $lacking && mv -f $lacking .; } || return 1
	lacking=''
	for folder in keys certs issued revoked pending crl requests holders; do
		[ -d $folder ] || lacking="$lacking $folder"
	done
	[ -z "$lacking" ] || mkdir -m 700 $lacking || return 1
	if [ -z "$laid" ]; then
		chmod 0700 . keys certs issued revoked pending crl requests holders || return 1
		for part in keys/ca.key keys/ca.pkcs11; do
			[ ! -f $part ] || chmod 0600 $part || return 1
		done
	fi
	[ $pointers = there ] || ! any issued || point || return 1
	[ -f index.txt ] || rebuild
}

# point writes requests/ and holders/ anew from the records; of two certificates for one request the one that ends later counts.
point() {
	find issued -type f ! -name '*.new' -exec awk '
		function show() { if (serial != "" && id != "") print (length(expires) > 13 ? "" : "20") expires, serial, id, host, key }
		FNR == 1 { show(); serial = id = host = key = expires = "" }
		$1 == "serial" { serial = $2 }
		$1 == "request" { id = $2 }
		$1 == "host" { host = $2 }
		$1 == "key" { key = $2 }
		$1 == "expires" { expires = $2 }
		END { show() }' {} + </dev/null | sort | while read -r _ item id host key; do
		is_hex "$item" && is_word "$id" && printf '%s\n' "$item" >"requests/$id"
		case $key in '' | *[!0-9a-f]*) continue ;; esac
		printf '%s\n' "$host" >"holders/$key"
	done
}

openssl_config() {
	printf '%s\n' '# For use by hand: openssl ca -config THIS -revoke issued/SERIAL. pgfleet takes over what is revoked so.' \
		'[ca]' 'default_ca = pgfleet' '[pgfleet]' "dir = $dir" 'database = $dir/index.txt' 'new_certs_dir = $dir/pending' \
		'certificate = $dir/certs/ca.crt' 'private_key = $dir/keys/ca.key' 'crlnumber = $dir/crlnumber' 'rand_serial = yes' \
		'default_md = sha256' 'default_days = 365' 'default_crl_days = 30' 'policy = any' 'unique_subject = no' 'email_in_dn = no' \
		'crl_extensions = crl' '[any]' 'commonName = supplied' '[crl]' 'authorityKeyIdentifier = keyid:always'
}

# root: the authority's own, self-signed certificate.
do_root() {
	ready && clocks || return
	if [ -f certs/ca.crt ] && [ "$fresh" != yes ]; then
		printf 'answer %s ok\nknown yes\n' "$verb"
		files certificate certs/ca.crt
		printf 'end\n'
		return
	fi
	is_hex "$serial" && is_bytes "$tbs" || { refuse "broken request" && return; }
	sign ca.crt || { refuse "$problem" && return; }
	assembled && pem CERTIFICATE "$made" && printf '%s\n' "$pem" >pending/ca.crt || { refuse "cannot write to $dir" && return; }
	# Of a certificate that is believed anyway, openssl checks the signature only when asked to.
	case $(openssl verify -check_ss_sig -CAfile pending/ca.crt pending/ca.crt </dev/null 2>&1) in
	"pending/ca.crt: OK") ;;
	*) refuse "openssl does not accept the certificate that was signed" && return ;;
	esac
	durable pending/ca.crt && mv -f pending/ca.crt certs/ca.crt && proved=yes || { refuse "cannot write to $dir/certs" && return; }
	durable certs
	printf 'answer %s ok\nknown no\n' "$verb"
	text certificate "$pem"
	printf 'end\n'
}

# install: the authority's certificate, signed by another one, and the chain above it.
do_install() {
	ready || return
	is_bytes "$certificate" && is_bytes "$chain" || { refuse "broken request" && return; }
	printf "$certificate" >pending/ca.crt && printf "$chain" >pending/chain.crt
	opened || { refuse "$problem" && return; }
	public_half || { refuse "openssl cannot read $dir/keys/ca.key" && return; }
	[ "$public" = "$(openssl x509 -in pending/ca.crt -pubkey -noout </dev/null 2>/dev/null)" ] || { refuse "the certificate is not for the key of this authority" && return; }
	case $(openssl verify -CAfile pending/chain.crt pending/ca.crt </dev/null 2>&1) in
	"pending/ca.crt: OK") ;;
	*) refuse "openssl does not accept the certificate with the chain above it" && return ;;
	esac
	[ -z "$policy" ] || same_place || { refuse "$problem" && return; }
	durable pending/chain.crt pending/ca.crt && mv -f pending/chain.crt certs/chain.crt && mv -f pending/ca.crt certs/ca.crt && proved=yes || { refuse "cannot write to $dir/certs" && return; }
	durable certs
	printf 'answer %s ok\nend\n' "$verb"
}

# issued ID: $found, the serial number that a request got before and that is still good.
issued() {
	found=''
	[ -n "$id" ] && [ -f "requests/$id" ] && read -r found <"requests/$id" || return 1
	is_hex "$found" || return 1
	[ "$revoke" = yes ] || [ ! -e "revoked/$found" ] || return 1
	case " $staged " in *" $found "*) return 0 ;; esac
	[ -f "issued/$found" ]
}

# certificate: stages one certificate; commit ends it together with the others of this call.
do_certificate() {
	if ! acceptable; then
		queue="${queue}bad $problem$nl"
	elif [ "$fresh" != yes ] && issued; then
		queue="${queue}old $found$nl"
	elif sign "$serial" && stage; then
		queue="${queue}new $serial$nl"
	else
		queue="${queue}bad $problem$nl"
	fi
}

# acceptable: nothing speaks against a request; $problem says what does.
acceptable() {
	problem="broken request"
	is_hex "$serial" && is_bytes "$tbs" && is_word "$id" && is_word "$profile" && is_word "$host" || return 1
	case $key in *[!0-9a-f]*) return 1 ;; esac
	case $subject in *"$tab"*) return 1 ;; esac
	problem="the authority has no certificate yet"
	[ -f certs/ca.crt ] || return 1
	if [ -n "$key" ] && [ -f "holders/$key" ] && read -r holder <"holders/$key" && [ "$holder" != "$host" ]; then
		problem="its key is used by host $holder already: make a new key on $host (pgfleet rotate --force --new-key -l $host)"
		return 1
	fi
	[ "$profile" != ca ] || [ -n "$policy" ] || ! key_revoked || return 1
	problem="serial number $serial is used already"
	case " $staged " in *" $serial "*) return 1 ;; esac
	[ ! -e "issued/$serial" ] && [ ! -e "revoked/$serial" ]
}

# key_revoked: $key is that of an authority that was revoked for its key, or that has no certificate left that was not revoked; a superseded one does not count. $problem says which.
# What cannot be read counts as revoked.
key_revoked() {
	bad='' left='' problem="cannot read the records"
	had=$(find issued -type f ! -name '*.new' -exec awk -v key="$key" '
		FNR == 1 { own = 0 }
		$0 == "key " key { own = 1 }
		$0 == "profile ca" && own { sub(".*/", "", FILENAME); print FILENAME }' {} + </dev/null) || return 0
	for one in $had; do
		if [ ! -f "revoked/$one" ]; then
			left=yes
			continue
		fi
		read -r _ _ cause _ <"revoked/$one"
		case $cause in
		superseded) continue ;;
		keyCompromise | CACompromise) left='' bad="$one was revoked ($cause)" && break ;;
		*) bad="$one was revoked ($cause)" ;;
		esac
	done
	problem="certificate $bad, and it is that of an authority with this key: its key gets no other one; declare a new authority with a new subject"
	[ -n "$bad" ] && [ -z "$left" ]
}

# stage begins the record, where the bytes to be signed were. Whether that works or not, no other certificate of this call gets the serial number.
stage() {
	staged="$staged $serial" problem="cannot write to $dir"
	printf 'pgfleet 1\nserial %s\nrequest %s\nhost %s\nkey %s\nprofile %s\nsubject %s\n' "$serial" "$id" "$host" "$key" "$profile" "$subject" >"pending/$serial" || return 1
	printf '%s\n' "$serial" >"requests/$id" || return 1
	if [ -n "$key" ]; then printf '%s\n' "$host" >"holders/$key" || return 1; fi
	rows="$rows$serial $revoke|$subject$nl"
}

# end_records ends the records of what was staged: $written. $entries has a line for each: SERIAL|SERIAL REVOKED|END|SUBJECT.
end_records() {
	written='' entries='' unwritten=''
	assembled || return 0
	IFS=$nl
	set -- $made
	for row in $rows; do
		item=${row%%" "*}
		while [ $# -gt 0 ]; do
			case $1 in "$item "*) break ;; esac
			shift
		done
		[ $# -gt 0 ] || break
		# What it says of itself has to be what was said of it.
		case $1 in
		"$item $item "[0-9]*)
			until=${1#* * } until=${until%%" "*}
			pem CERTIFICATE "$1"
			if printf '%s\n' "$pem" "expires $until" >>"pending/$item"; then
				written="$written pending/$item" entries="$entries$item|${row%%"|"*}|$until|${row#*"|"}$nl"
			else
				unwritten="$unwritten $item"
			fi
			IFS=$nl
			;;
		esac
		shift
	done
	IFS=$spaces
}

# accepted: of what was written, what openssl says that it verifies: $good has the serial numbers, $lines the rows of index.txt, $moved the files that are
# to be on disk first. Those that are revoked from the start, $barred, are so before they are records.
accepted() {
	good='' moved='' lines='' barred=''
	[ -n "$written" ] || return 0
	verified=$nl$(exec openssl verify -partial_chain -CAfile certs/ca.crt $written </dev/null 2>/dev/null)$nl
	IFS=$nl
	for entry in $entries; do
		item=${entry%%"|"*} entry=${entry#*"|"}
		revoke=${entry%%"|"*} entry=${entry#*"|"}
		until=${entry%%"|"*} subject=${entry#*"|"}
		case $verified in *"${nl}pending/$item: OK$nl"*) ;; *) continue ;; esac
		case $revoke in
		*' yes')
			printf '%s\n' "$item $stamp cessationOfOperation $until" >"pending/$item.revoked" || { unwritten="$unwritten $item" && continue; }
			barred="$barred $item" moved="$moved pending/$item.revoked"
			lines="${lines}R$tab$until$tab$stamp,cessationOfOperation$tab$item${tab}unknown$tab$subject$nl"
			;;
		*) lines="${lines}V$tab$until$tab$tab$item${tab}unknown$tab$subject$nl" ;;
		esac
		good="$good pending/$item"
	done
	IFS=$spaces moved="$good$moved"
	[ -z "$good" ] || proved=yes
}

# commit verifies what was staged, makes it durable, moves it to the records, extends the index, and answers.
commit() {
	[ -n "$queue" ] || return 0
	verb=certificate good='' unwritten=''
	if [ -n "$staged" ]; then
		end_records
		accepted
	fi
	if [ -n "$good" ]; then
		durable $moved
		for item in $barred; do
			mv -f "pending/$item.revoked" "revoked/$item" || die "cannot write to $dir/revoked"
		done
		mv $good issued/ || die "cannot write to $dir/issued"
		# Between reading index.txt and replacing it, what users of openssl ca write there would be lost.
		{ { [ ! -s index.txt ] || cat index.txt; } && printf '%s' "$lines"; } </dev/null >index.txt.new && durable issued requests revoked index.txt.new &&
			mv -f index.txt.new index.txt || die "cannot write $dir/index.txt"
	fi
	records=''
	while read -r what value; do
		case $what in
		bad) refuse "$value" ;;
		new | old)
			if [ -f "issued/$value" ]; then
				[ $what = new ] && known=no || known=yes
				printf 'answer certificate ok\nserial %s\nknown %s\nend\n' "$value" "$known"
				records="$records issued/$value"
				continue
			fi
			case "$unwritten " in
			*" $value "*) refuse "cannot write to $dir" ;;
			*) refuse "openssl verify does not accept the certificate that was signed: $(verify_problem "$value")" ;;
			esac
			;;
		esac
	done <<END
$queue
END
	if [ -n "$records" ]; then
		printf 'records\n'
		sed 's/^/|/' $records </dev/null
		printf 'end\n'
	fi
	staged='' queue='' rows=''
}

verify_problem() {
	openssl verify -partial_chain -CAfile certs/ca.crt "pending/$1" </dev/null 2>&1 | sed -n '/^error/{s/^error [^:]*: *//p;q;}'
}

# settle rebuilds index.txt after revocations: once, however many they were.
settle() {
	[ -z "$unsettled" ] || rebuild
	unsettled=''
}

# revoke: one certificate of this authority.
do_revoke() {
	ready && clocks || return
	is_hex "$serial" || { refuse "broken request" && return; }
	[ -f "issued/$serial" ] || { refuse "this authority has not issued a certificate with serial number $serial" && return; }
	if [ ! -f "revoked/$serial" ]; then
		known_reason "$reason"
		expires=$(sed -n 's/^expires //p' "issued/$serial" </dev/null)
		put "revoked/$serial" "$serial $stamp $cause $expires" || { refuse "cannot write to $dir/revoked" && return; }
		durable revoked
		unsettled=yes
		[ -z "$policy" ] || say info "certificate $serial is revoked ($cause)"
	fi
	printf 'answer %s ok\nend\n' "$verb"
}

# crl: a new list. Its number must rise, no revoked certificate that has not expired may be missing, and none be named that is not on record as revoked.
do_crl() {
	ready && clocks || return
	is_hex "$number" && is_bytes "$tbs" && [ ${#number} -le 14 ] || { refuse "broken request" && return; }
	[ -f certs/ca.crt ] || { refuse "the authority has no certificate yet" && return; }
	next=1
	if [ -f crlnumber ] && read -r next <crlnumber && is_hex "$next" && [ ${#next} -le 14 ]; then next=$((0x$next)); else next=1; fi
	[ $((0x$number)) -ge $next ] || { outdated "number $number of the list is below $dir/crlnumber" && return; }
	sign ca.crl || { refuse "$problem" && return; }
	assembled && pem 'X509 CRL' "$made" && printf '%s\n' "$pem" >pending/ca.crl || { refuse "cannot write to $dir" && return; }
	text=$(exec openssl crl -in pending/ca.crl -CAfile certs/ca.crt -text -noout </dev/null 2>&1) || { refuse "openssl cannot read the list that was signed" && return; }
	case $text in *"verify OK"*) proved=yes ;; *) refuse "openssl does not accept the list that was signed" && return ;; esac
	lacking=$({
		printf '%s\n' "$text"
		echo =
		find revoked -type f ! -name '*.new' -exec cat {} + </dev/null && echo all
	} | awk -v now="$stamp" '
		function long(t) { return length(t) > 13 ? t : (substr(t, 1, 2) < "50" ? "20" : "19") t }
		$0 == "=" { part = 1; next }
		!part && $1 " " $2 == "Serial Number:" { listed[$3] = 1 }
		!part { next }
		$0 == "all" { all = 1; next }
		{ recorded[$1] = 1 }
		!($1 in listed) && (NF < 4 || long($4) > long(now)) { print "lacks", $1 }
		END { for (s in listed) if (!(s in recorded)) print "names", s; if (all) print "all" }')
	# Nothing counts as compared of which that is not said in the end.
	case $lacking in *all) lacking=${lacking%all} ;; *) refuse "cannot read the records" && return ;; esac
	if [ -n "$lacking" ]; then
		set -- $lacking
		case $1 in
		lacks) outdated "the list lacks the revoked certificate $2" ;;
		*) refuse "the list names certificate $2, which is not on record as revoked" ;;
		esac
		return
	fi
	next=$(printf '%X' $((0x$number + 1)))
	[ $((${#next} % 2)) -eq 0 ] || next=0$next
	printf '%s\n' "$next" >pending/crlnumber && durable pending/ca.crl pending/crlnumber &&
		mv -f pending/ca.crl crl/ca.crl && mv -f pending/crlnumber crlnumber || { refuse "cannot write to $dir/crl" && return; }
	durable crl .
	printf 'answer %s ok\n' "$verb"
	text crl "$pem"
	printf 'end\n'
}

# fetch: one certificate of the records.
do_fetch() {
	[ "$state" = ours ] || { refuse "there is no authority of pgfleet in $dir" && return; }
	is_hex "$serial" && [ -f "issued/$serial" ] || { refuse "this authority has not issued that certificate" && return; }
	printf 'answer %s ok\nserial %s\n' "$verb" "$serial"
	files certificate "issued/$serial"
	printf 'end\n'
}

# list: the facts of every certificate that was issued: serial number, end, profile, host or "-", subject. Changes nothing.
do_list() {
	[ "$state" = ours ] || { refuse "there is no authority of pgfleet in $dir" && return; }
	[ -n "$locked" ] || hold_still
	printf 'answer %s ok\n' "$verb"
	[ ! -d issued ] || find issued -type f ! -name '*.new' -exec awk '
		function show() { if (serial != "" && expires != "") print "issued", serial, expires, (profile == "" ? "-" : profile), (host == "" ? "-" : host), subject }
		FNR == 1 { show(); serial = expires = profile = host = subject = "" }
		$1 == "serial" { serial = $2 }
		$1 == "expires" { expires = $2 }
		$1 == "profile" { profile = $2 }
		$1 == "host" { host = $2 }
		$1 == "subject" { subject = substr($0, 9) }
		END { show() }' {} + </dev/null
	printf 'end\n'
}

# status: all that there is to see. Changes nothing. With short, where this call has had something signed that verified against certs/ca.crt, the field
# keysigns says so, in place of publickey.
do_status() {
	printf 'answer %s ok\ndirectory %s %s\nuid %s\n' "$verb" "$state" "$others" "$uid"
	[ -z "$policy" ] || about
	if [ "$state" = ours ]; then
		printf 'name %s\n' "$name"
		[ -n "$locked" ] || hold_still
		status_files
	fi
	printf 'end\n'
}

# hold_still waits until no batch is under way, so that records and index are seen together.
hold_still() {
	[ -f lock ] && command -v flock >/dev/null 2>&1 || return 0
	exec 9<lock && tries=0
	until flock -s -n 9; do
		wait_for_lock
		modes=''
	done
	locked=shared
}

status_files() {
	IFS=$nl
	if [ -n "$modes" ]; then
		printf 'mode %s\n' $modes
	else
		for line in $(exec ls -ldn . keys certs issued revoked crl keys/ca.key keys/ca.pkcs11 </dev/null 2>/dev/null); do
			IFS=$spaces
			set -- $line
			printf 'mode %s %s %s\n' "$1" "$3" "$9"
		done
	fi
	IFS=$spaces
	if [ -f keys/ca.pkcs11 ]; then
		IFS= read -r keyname <keys/ca.pkcs11
		printf 'key token %s\n' "$keyname"
	elif encrypted keys/ca.key; then
		printf 'key encrypted\n'
	fi
	if ! opened; then
		# Without passphrase or PIN its certificate says whose it is.
		[ ! -f certs/ca.crt ] || { half=$(openssl x509 -in certs/ca.crt -noout -pubkey </dev/null 2>/dev/null) && text publickey "$half"; }
	elif [ -n "$short" ] && [ -n "$proved" ]; then
		printf 'keysigns yes\n'
	elif [ -f keys/ca.key ] || [ -n "$token" ]; then
		public_half && text publickey "$public" || printf 'keyproblem openssl cannot read %s/keys/ca.key\n' "$dir"
	fi
	set -- certificate certs/ca.crt chain certs/chain.crt crl crl/ca.crl
	for id in canary-good canary-revoked; do
		if [ -f requests/$id ] && read -r found <requests/$id && is_hex "$found"; then set -- "$@" $id "issued/$found"; fi
	done
	list=''
	while [ $# -gt 0 ]; do
		[ ! -f "$2" ] || list="$list name=$1 $2"
		shift 2
	done
	[ -z "$list" ] && [ ! -s index.txt ] && ! any issued && ! any revoked || compare status $list
	if [ -f crlnumber ] && read -r next <crlnumber; then printf 'crlnumber %s\n' "$next"; fi
}

# read_request reads one request; 1: there is none.
read_request() {
	verb='' id='' serial='' algorithm='' profile='' host='' key='' subject='' fresh='' revoke='' tbs='' type='' want='' csr='' certificate='' chain='' number='' reason='' sealing='' recipient='' identity='' opener='' uri='' short=''
	while IFS=' ' read -r field value; do
		case $field in
		request) verb=$value ;;
		id) id=$value ;;
		serial) serial=$value ;;
		algorithm) algorithm=$value ;;
		profile) profile=$value ;;
		host) host=$value ;;
		key) key=$value ;;
		subject) subject=$value ;;
		fresh) fresh=$value ;;
		revoke) revoke=$value ;;
		tbs) tbs=$value ;;
		type) type=$value ;;
		name) want=$value ;;
		csr) csr=$value ;;
		certificate) certificate=$value ;;
		chain) chain=$value ;;
		number) number=$value ;;
		reason) reason=$value ;;
		sealing) sealing=$value ;;
		recipient) recipient=$value ;;
		identity) identity=$value ;;
		opener) opener=$value ;;
		token) uri=$value ;;
		short) short=$value ;;
		passphrase)
			is_bytes "$value" || die "broken request"
			[ -z "$policy" ] || [ -z "$secret_file" ] || locked_out "$file names a file with the passphrase: none is taken from elsewhere"
			secret=$(printf "$value")
			unlock
			;;
		passphrase-file)
			is_bytes "$value" || die "broken request"
			place=$(printf "$value")
			[ -z "$policy" ] || [ "$place" = "$secret_file" ] || locked_out "$file does not name that file with a passphrase (passphrase_file)"
			read_secret "$place"
			unlock
			;;
		end) return 0 ;;
		*) die "this ca.sh does not know the field that was sent" ;;
		esac
	done
	[ -z "$verb$field" ] || die "the requests end in the middle"
	return 1
}

# keeping: further requests, where ca_keep.sh is part of this program.
keeping() {
	return 1
}

# ---- what is asked for

check_path
look
IFS=' ' read -r protocol version theirs || die "no requests"
[ "$protocol $version" = 'pgfleet-ca 1' ] || die "this ca.sh speaks version 1 of its protocol"
clock=$(date -u '+%s %Y%m%d%H%M%SZ')
stamp=${clock#* } clock=${clock%% *}
# As index.txt has times: of the year two digits, from 2050 on all four.
case $stamp in 20[0-4]*) stamp=${stamp#20} ;; esac
case $theirs in '' | *[!0-9]*) die "broken request" ;; 0) ;; *) skew=$((clock - theirs)) ;; esac
printf 'pgfleet-ca 1 %s %s\n' "$clock" "$skew"
while read_request; do
	[ "$verb" = status ] || modes=''
	[ "$verb" = revoke ] || settle
	case $verb in
	certificate)
		if [ -n "$staged$queue" ] || { ready && clocks; }; then do_certificate; fi
		continue
		;;
	esac
	commit_verb=$verb
	if [ -n "$queue" ]; then
		# commit uses the fields' variables; keep this request's.
		k_serial=$serial
		commit
		verb=$commit_verb serial=$k_serial
	fi
	case $verb in
	init-key) do_init_key ;;
	root) do_root ;;
	install) do_install ;;
	revoke) do_revoke ;;
	crl) do_crl ;;
	fetch) do_fetch ;;
	list) do_list ;;
	status) do_status ;;
	*) keeping || die "this ca.sh does not know the request that was sent" ;;
	esac
done
commit
settle
exit 0
