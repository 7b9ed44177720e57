# Further requests of ca.sh, for keeping an authority: backup, restore, adopt. They are part of it only in calls that ask for them; where the
# authority's mode is restricted, the program that its login reaches does not have them.

# seal prints the key as it lies in its file, encrypted to $recipient: lines for age, or one certificate for openssl.
seal() {
	case $sealing in
	age)
		command -v age >/dev/null 2>&1 || {
			echo 'age is not installed on this host: apt-get install age (or dnf, apk), or give the file of a certificate as recipient, for which every openssl does' >&2
			return 1
		}
		printf '%s\n' "$recipient" | age -a -R - keys/ca.key
		;;
	cms) printf '%s\n' "$recipient" | openssl cms -encrypt -binary -aes256 -outform PEM -in keys/ca.key /dev/stdin ;;
	*) return 1 ;;
	esac
}

# backup: the authority's files as fields, the key as keys/ca.key.age or keys/ca.key.cms; of a key in a token its URI, keys/ca.pkcs11. Changes nothing.
do_backup() {
	[ "$state" = ours ] && { [ -f keys/ca.key ] || [ -f keys/ca.pkcs11 ]; } && [ -f certs/ca.crt ] || { refuse "there is no authority with key and certificate in $dir" && return; }
	[ -n "$locked" ] || hold_still
	sealed=''
	if [ ! -f keys/ca.pkcs11 ]; then
		encrypted keys/ca.key || [ "$(openssl pkey -in keys/ca.key -pubout </dev/null 2>/dev/null)" = "$(openssl x509 -in certs/ca.crt -pubkey -noout </dev/null 2>/dev/null)" ] ||
			{ refuse "$dir/keys/ca.key does not belong to $dir/certs/ca.crt: such a backup could not be restored" && return; }
		is_bytes "$recipient" || { refuse "its key is in a file: it is backed up only encrypted to a recipient" && return; }
		recipient=$(printf "$recipient")
		sealed=$(seal 2>/dev/null) || {
			problem=$(seal 2>&1 >/dev/null)
			refuse "the key could not be encrypted: ${problem%%"$nl"*}"
			return
		}
	fi
	printf 'answer %s ok\n' "$verb"
	if [ -n "$sealed" ]; then
		encrypted keys/ca.key && printf 'key encrypted\n'
		text "keys/ca.key.$sealing" "$sealed"
	else
		files keys/ca.pkcs11 keys/ca.pkcs11
	fi
	find authority certs crl issued revoked index.txt crlnumber -type f ! -name '*.new' -exec awk '
		FNR == 1 { if (n++) print ""; print FILENAME }
		{ print "|" $0 }
		END { print "" }' {} + </dev/null 2>/dev/null
	files policy "/etc/pgfleet/policy/$name"
	printf 'end\n'
}

# unpack reads files up to the line "end" into the folder it is in: "file PATH", then its lines, each with "|" before it. Records get an old date: in mode
# restricted those of today are counted, and there would be nothing left of a day's number.
unpack() {
	mkdir -m 700 keys certs crl issued revoked && awk '
		substr($0, 1, 1) == "|" { if (path == "") exit; print substr($0, 2) >path; next }
		path != "" { close(path) }
		$0 == "end" { whole = 1; exit }
		{ path = substr($0, 6) }
		$1 != "file" || path !~ /^(authority|index\.txt|crlnumber|keys\/ca\.(key\.(age|cms)|pkcs11)|certs\/[A-Za-z0-9][A-Za-z0-9._-]*|crl\/ca\.crl|(issued|revoked)\/[0-9A-F]+)$/ { exit }
		END { exit !whole }' && find issued -type f -exec touch -t 200001010000 {} + </dev/null
}

# give_up REASON refuses, and leaves nothing of what was unpacked: among it may be the opened key.
give_up() {
	cd / && rm -rf "$room"
	refuse "$1"
}

# restore: the authority from a backup, whose files follow the request. It is made beside its place, and moved there as a whole in the end.
do_restore() {
	is_word "$want" && { [ "$sealing" = token ] || is_bytes "$identity"; } || { refuse "broken request" && return; }
	identity=$(printf "$identity")
	if [ -n "$opener" ]; then
		is_bytes "$opener" || { refuse "broken request" && return; }
		unseen
		opener=$(printf "$opener")
	fi
	case $state in
	ours)
		refuse "$dir holds an authority, which is not overwritten: if it is lost, move the folder away first"
		return
		;;
	foreign)
		refuse "$dir holds something that pgfleet did not make ($others): name another folder for this authority"
		return
		;;
	esac
	case $sealing$identity in token*) ;; age/* | cms/*) [ -f "$identity" ] ;; *) false ;; esac || { refuse "there is no file $identity on this host: put there what opens the backup" && return; }
	room=$dir.restoring
	(umask 022 && mkdir -p "${dir%/*}/") && rm -rf "$room" && mkdir -m 700 "$room" && cd "$room" || { refuse "cannot make $room" && return; }
	unpack || { give_up "the backup did not arrive whole; is the disk full?" && return; }
	case $sealing in
	age)
		command -v age >/dev/null 2>&1 || { give_up "age is not installed on this host: apt-get install age (or dnf, apk)" && return; }
		problem=$(age -d -i "$identity" -o keys/ca.key keys/ca.key.age 2>&1 </dev/null)
		;;
	token)
		IFS= read -r signer <keys/ca.pkcs11
		open_token
		;;
	cms)
		problem=$(printf '%s\n' "$opener" | openssl cms -decrypt -binary -inform PEM -in keys/ca.key.cms -inkey "$identity" -passin stdin -out keys/ca.key 2>&1) || {
			[ -n "$opener" ] || problem="it has a passphrase, perhaps, which --ask-identity-pass asks for; openssl says: $problem"
			false
		}
		;;
	*) false ;;
	esac || { give_up "$identity does not open the key of this backup: ${problem%%"$nl"*}" && return; }
	public=$token
	[ -n "$token" ] || public=$(printf '%s\n' "$secret" | openssl pkey -in keys/ca.key -passin stdin -pubout 2>/dev/null) || { give_up "the passphrase does not open the key in this backup" && return; }
	[ "$public" = "$(openssl x509 -in certs/ca.crt -pubkey -noout </dev/null 2>/dev/null)" ] || { give_up "the key in this backup does not belong to its certificate" && return; }
	rm -f keys/ca.key.age keys/ca.key.cms
	name=$want
	mkdir pending && lay_out && reconcile && sync || { give_up "cannot write to $room" && return; }
	cd /
	if [ -d "$dir" ]; then rm -rf "$dir/lock" "$dir/lock.d" "$dir/pending" "$dir/authority.new" && rmdir "$dir"; fi
	[ ! -e "$dir" ] && mv "$room" "$dir" || { give_up "cannot move $room to $dir" && return; }
	sync
	look
	[ -z "$secret" ] || unlock
	printf 'answer %s ok\nend\n' "$verb"
}

# imported FILE: a record that was taken over from index.txt, without certificate and key.
imported() { grep -q '^profile imported$' "$1" </dev/null; }

# adopt: records that are missing, and the number of the next list if it is higher. The files follow the request. What is on record stays as it is, but for what index.txt
# alone had told of.
do_adopt() {
	ready || return
	mkdir pending/adopt && cd pending/adopt && unpack && cd "$dir" || { cd "$dir" && refuse "what was sent did not arrive whole; is the disk full?" && return; }
	set +f
	for item in pending/adopt/issued/* pending/adopt/revoked/*; do
		place=${item#pending/adopt/}
		[ ! -f "$item" ] || { [ -e "$place" ] && ! imported "$place"; } || { durable "$item" && mv "$item" "$place"; } || { set -f && refuse "cannot write to $dir" && return; }
	done
	set -f
	next=0 least=0
	[ ! -f crlnumber ] || read -r next <crlnumber
	[ ! -f pending/adopt/crlnumber ] || read -r least <pending/adopt/crlnumber
	is_hex "$next" && [ ${#next} -le 14 ] || next=0
	if is_hex "$least" && [ ${#least} -le 14 ] && [ $((0x$least)) -gt $((0x$next)) ]; then put crlnumber "$least" || { refuse "cannot write to $dir" && return; }; fi
	durable issued revoked
	rebuild && point
	printf 'answer %s ok\nend\n' "$verb"
}

keeping() {
	case $verb in
	backup) do_backup ;;
	restore) do_restore ;;
	adopt) do_adopt ;;
	*) return 1 ;;
	esac
	# Files may follow that nobody has read.
	exit 0
}
