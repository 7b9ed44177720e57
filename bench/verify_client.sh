# Connection tests with this client's own psql. Standard input: a conninfo string a line. Standard output: the serial number of the
# certificate that the services use, then for each test its exit code and what psql said, on one line.
export LC_ALL=C
certificate=$(sed -n 's/^sslcert=//p' ~/.pg_service.conf | head -n 1)
serial=$(openssl x509 -in "$certificate" -noout -serial) || exit 1
echo "${serial#serial=}"
for psql in /usr/lib/postgresql/*/bin/psql; do :; done
query="SELECT current_user, ssl, client_serial, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
while IFS= read -r conninfo; do
	out=$("$psql" -XAtw -d "$conninfo" -c "$query" 2>&1 </dev/null)
	echo "$? $out" | tr '\n' ' ' | sed 's/ $//'
	echo
done
