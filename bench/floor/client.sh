# A client of PostgreSQL servers, for a root shell that reads commands: request, install CERTIFICATE SERVERS_CA RESOLVE, finish.
# The application's OS user owns its files, and writes them.
set -eu
dir=/var/lib/postgresql/.postgresql/mtls changed=0
request() {
	[ -s "$dir/dbuser1.crt" ] || runuser -u postgres -- sh -euc 'umask 077; mkdir -p "$1"; cd "$1"
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout dbuser1.key -out dbuser1.csr -subj /CN=dbuser1 </dev/null 2>log
		cat dbuser1.csr' - "$dir"
	echo .
}
install() {
	resolve="# BEGIN mtls
${3}# END mtls
$(sed '/^# BEGIN mtls$/,/^# END mtls$/d' /etc/hosts)"
	if [ "$(cat /etc/hosts)" != "$resolve" ]; then
		echo "$resolve" >/etc/hosts.new
		mv /etc/hosts.new /etc/hosts
		changed=$((changed + 1))
	fi
	services=$(echo "$3" | while read -r _ name; do
		[ -z "$name" ] || printf '[dbuser1@%s]\nhost=%s\nport=5432\nuser=dbuser1\nsslmode=verify-full\nsslrootcert=%s/root.crt\nsslcert=%s/dbuser1.crt\nsslkey=%s/dbuser1.key\n' "${name%%.*}" "$name" "$dir" "$dir" "$dir"
	done)
	n=$(runuser -u postgres -- sh -euc 'umask 077; cd "$1"; n=0
		put() {
			[ "$(cat "$1" 2>/dev/null; echo .)" != "$2
." ] || return 0
			echo "$2" >"$1.new"
			mv "$1.new" "$1"
			n=$((n + 1))
		}
		[ -z "$2" ] || put dbuser1.crt "$2"
		put root.crt "$3"
		service=/var/lib/postgresql/.pg_service.conf
		put "$service" "# BEGIN mtls
$4
# END mtls
$(sed "/^# BEGIN mtls\$/,/^# END mtls\$/d" "$service" 2>/dev/null)"
		echo $n' - "$dir" "$1" "${2%
}" "$services")
	changed=$((changed + n))
}
finish() { echo "$changed"; echo .; exit 0; }
