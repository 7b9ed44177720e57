# A PostgreSQL server, for a root shell that reads commands: request NAME ADDRESS, install CERTIFICATE CLIENTS_CA CLIENTS_CRL HBA, finish.
set -eu
umask 022
dir=/etc/postgresql/mtls main=/etc/postgresql/15/main changed=0
request() {
	if [ ! -s "$dir/server.crt" ]; then
		mkdir -p "$dir"
		(umask 077; openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$dir/server.key" -out "$dir/server.csr" -subj "/CN=$1" -addext "subjectAltName=DNS:$1,IP:$2" </dev/null 2>"$dir/log")
		chown root:postgres "$dir/server.key"
		chmod 640 "$dir/server.key"
		cat "$dir/server.csr"
	fi
	echo .
}
# put FILE TEXT: the file has the text.
put() {
	[ "$(cat "$1" 2>/dev/null)" != "$2" ] || return 0
	echo "$2" >"$1.new"
	mv "$1.new" "$1"
	changed=$((changed + 1))
}
# top FILE TEXT: the file begins with the text, as a block of ours.
top() {
	new="# BEGIN mtls
$2
# END mtls
$(sed '/^# BEGIN mtls$/,/^# END mtls$/d' "$1")"
	[ "$(cat "$1")" != "$new" ] || return 0
	cp -p "$1" "$1.new"
	echo "$new" >"$1.new"
	mv "$1.new" "$1"
	changed=$((changed + 1))
}
install() {
	[ -z "$1" ] || put "$dir/server.crt" "${1%
}"
	put "$dir/clients.crt" "${2%
}"
	put "$dir/clients.crl" "${3%
}"
	put "$main/conf.d/mtls.conf" "ssl = on
ssl_min_protocol_version = 'TLSv1.2'
ssl_cert_file = '$dir/server.crt'
ssl_key_file = '$dir/server.key'
ssl_ca_file = '$dir/clients.crt'
ssl_crl_file = '$dir/clients.crl'"
	top "$main/pg_hba.conf" "host      all         all     127.0.0.1/32  scram-sha-256
host      all         all     ::1/128       scram-sha-256
host      replication all     127.0.0.1/32  scram-sha-256
host      replication all     ::1/128       scram-sha-256
hostnossl all         all     0.0.0.0/0     reject
hostnossl all         all     ::/0          reject
hostnossl replication all     0.0.0.0/0     reject
hostnossl replication all     ::/0          reject
${4}host      all         dbuser1 0.0.0.0/0     reject
host      all         dbuser1 ::/0          reject"
	reload=
	[ $changed = 0 ] || reload='SELECT pg_reload_conf();'
	made=$(cd / && runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -XAt -v ON_ERROR_STOP=1 2>&1 <<-SQL
		SELECT 'CREATE ROLE dbuser1 LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dbuser1') \gexec
		$reload
	SQL
	)
	case $made in *CREATE*) changed=$((changed + 1)) ;; esac
}
finish() { echo "$changed"; echo .; exit 0; }
