package tasks

import "testing"

// TestReloadLinkedDataDirectory: the data directory is a symbolic link, and the server's files are named relative to it, as PostgreSQL's own default does.
func TestReloadLinkedDataDirectory(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`set -e
		pg_ctlcluster 15 main stop
		mkdir -p /srv/pg && mv /var/lib/postgresql/15/main /srv/pg/main && ln -s /srv/pg/main /var/lib/postgresql/15/main
		cd /srv/pg/main
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.crt -subj /CN=db1 -days 10 2>/dev/null
		chown postgres:postgres server.key server.crt && chmod 600 server.key
		sed -i "s#^ssl = .*#ssl = on#; s#^ssl_cert_file = .*#ssl_cert_file = 'server.crt'#; s#^ssl_key_file = .*#ssl_key_file = 'server.key'#" /etc/postgresql/15/main/postgresql.conf
		pg_ctlcluster 15 main start
		sleep 0.1; touch /etc/postgresql/15/main/postgresql.conf`)
	if err := p.run(&postgresReload{WithProof: true}); err != nil {
		t.Fatal(err)
	}
}
