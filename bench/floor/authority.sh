# A certificate authority, for a root shell that reads commands: authority NAME [self], install CERTIFICATE, sign PROFILE REQUEST…, finish.
# Records are openssl ca's own. Answers end with a line with a dot.
set -eu
umask 077
dir=/etc/mtls-ca changed=0
answered() { cat "$dir/ca.crt" "$dir/ca.crl"; echo .; }
list() { openssl ca -config "$dir/openssl.cnf" -gencrl -out "$dir/ca.crl" </dev/null 2>"$dir/log"; }
authority() {
	if [ -s "$dir/ca.crl" ]; then answered; return; fi
	changed=1
	mkdir -p "$dir/issued"
	: >"$dir/index.txt"
	echo 01 >"$dir/crlnumber"
	cat >"$dir/openssl.cnf" <<-CNF
		[ca]
		default_ca = this
		[this]
		certificate = $dir/ca.crt
		private_key = $dir/ca.key
		database = $dir/index.txt
		new_certs_dir = $dir/issued
		crlnumber = $dir/crlnumber
		rand_serial = yes
		unique_subject = no
		default_md = sha256
		default_crl_days = 3650
		policy = policy
		copy_extensions = copy
		[policy]
		commonName = supplied
		[req]
		distinguished_name = dn
		prompt = no
		[dn]
		CN = $1
		[root]
		basicConstraints = critical, CA:TRUE
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
		[intermediate]
		basicConstraints = critical, CA:TRUE, pathlen:0
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
		[server]
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = serverAuth
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
		[client]
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = clientAuth
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
	CNF
	make="openssl req -config $dir/openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $dir/ca.key"
	if [ "${2-}" = self ]; then
		$make -x509 -days 3650 -extensions root -out "$dir/ca.crt" </dev/null 2>"$dir/log"
		list
		answered
	else
		$make -new -out "$dir/ca.csr" </dev/null 2>"$dir/log"
		cat "$dir/ca.csr"
		echo .
	fi
}
install() { echo "$1" >"$dir/ca.crt"; list; answered; }
sign() {
	profile=$1 days=365 n=0 files=
	[ "$profile" != intermediate ] || days=1825
	changed=$((changed + 1))
	shift
	for csr; do
		n=$((n + 1)) files="$files $dir/$n.csr"
		echo "$csr" >"$dir/$n.csr"
	done
	# shellcheck disable=SC2086 # names without spaces
	openssl ca -batch -notext -config "$dir/openssl.cnf" -extensions "$profile" -days $days -infiles $files </dev/null >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
	# In the order of the requests, which is that of the last rows of its records.
	(cd "$dir/issued" && tail -n $n "$dir/index.txt" | cut -f 4 | sed 's/$/.pem/' | xargs cat)
	# shellcheck disable=SC2086
	rm $files
	echo .
}
finish() { echo "$changed"; echo .; exit 0; }
