package tasks

import (
	"strings"
	"testing"
)

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

// TestReloadIsLookedAt: a reload that was found good on what was foreseen is looked at on what is there, and can be undone where the server does not
// answer any more.
func TestReloadIsLookedAt(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`set -e
		cd /var/lib/postgresql/15/main
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.crt -subj /CN=db1 -days 10 2>/dev/null
		chown postgres:postgres server.key server.crt && chmod 600 server.key`)
	p.must(true, settingsTask(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}))
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	task := &postgresReload{WithProof: true}
	change, err := task.Check(t.Context(), p.host)
	if err != nil || change == nil {
		t.Fatal(change, err)
	}
	closing, err := change.Apply(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.via.Do(t.Context(), closing...); err != nil {
		t.Fatal(err)
	}
	p.Shell(`chmod 644 /var/lib/postgresql/15/main/server.key`)
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	if again, err := task.Check(t.Context(), p.host); err == nil {
		t.Errorf("a server that would not start again was found good: %+v", again)
	}
	p.Shell(`chmod 600 /var/lib/postgresql/15/main/server.key; pg_ctlcluster 15 main stop -m immediate; rm -f /var/lib/postgresql/15/main/postgresql.conf /etc/postgresql/15/main/postgresql.conf`)
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	if _, err := Clusters(p.host); err == nil {
		t.Fatal("the server can be asked")
	}
	if len(task.Undo(p.host)) == 0 {
		t.Error("nothing is put back where the server cannot be asked")
	}
}

// TestLinkedConfigurationOfRoot: the configuration is a link into a folder of root's, which neither the server's OS user can write nor root follows to. That is said, and what helps.
func TestLinkedConfigurationOfRoot(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.Shell(`set -e
		mkdir /srv/conf && cd /etc/postgresql/15/main
		for f in postgresql.conf pg_hba.conf; do mv $f /srv/conf/$f && ln -s /srv/conf/$f $f && chown root:postgres /srv/conf/$f; done
		sed -i /pgfleet/d /srv/conf/postgresql.conf`)
	const helps = "chown postgres /srv/conf /srv/conf/"
	if err := p.run(settingsTask(map[string]string{"ssl": "on"})); err == nil || !strings.Contains(err.Error(), helps+"postgresql.conf") {
		t.Errorf("settings: %v", err)
	}
	p.must(true, &postgresRole{Password: "once"})
	if err := p.run(hbaTask("cert")); err == nil || !strings.Contains(err.Error(), helps+"pg_hba.conf") || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("rules: %v", err)
	}
	p.Shell("chown postgres /srv/conf /srv/conf/*")
	p.must(true, settingsTask(map[string]string{"ssl": "on"}))
	p.must(true, hbaTask("cert"))
}
