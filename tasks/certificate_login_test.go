package tasks

import (
	"strings"
	"testing"
)

// loginWorld has a real server that wants certificates and a client with everything in place.
func loginWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.startPostgres()
	w.sb.Shell(`su postgres -c "psql -qc 'create role dbuser1 login' -c 'create role other login' -c 'create database dbuser1'"
f=/etc/postgresql/15/main/pg_hba.conf
{ echo 'hostssl all all 127.0.0.1/32 cert'; cat $f; } >/tmp/hba && cat /tmp/hba >$f`)
	for _, step := range []struct {
		h      *Host
		kind   string
		values map[string]any
	}{{w.server, "certificate", serverCertificate}, {w.server, "trust", serverTrusts}, {w.client, "hosts_entry", nil}, {w.client, "trust", clientTrust}, {w.client, "certificate", clientCertificate}} {
		w.must(step.h, task(t, step.kind, step.values), true)
	}
	w.reload()
	return w
}

// reload makes the server read its files; the cluster's default is ssl=on.
func (w *world) reload() {
	w.t.Helper()
	w.sb.Shell("pg_ctlcluster 15 main restart")
}

// psql runs a query as OS user app with a service; what it printed.
func (w *world) psql(conninfo string) string {
	out, _ := w.sb.Command(w.t.Context(), "su", "app", "-c", "/usr/lib/postgresql/15/bin/psql -XAtw -d '"+conninfo+"' -c 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()' 2>&1").CombinedOutput()
	return strings.TrimSpace(string(out))
}

func TestLogin(t *testing.T) {
	w := loginWorld(t)
	const good = "dbuser1|t"
	if got := w.psql("service=dbuser1@db1"); got != good {
		t.Fatalf("service: %s", got)
	}
	if got := w.psql("service=dbuser1@db1 user=other dbname=postgres"); !strings.Contains(got, "certificate authentication failed") {
		t.Errorf("another user: %s", got)
	}
	if got := w.psql("service=dbuser1@db1 host=localhost"); !strings.Contains(got, "does not match host name") {
		t.Errorf("another name: %s", got)
	}
	// Renewal keeps the key, and what is in force stays usable all the time.
	w.must(w.client, task(t, "certificate", map[string]any{"issuer": "clients", "force": true}), true)
	w.must(w.server, task(t, "certificate", map[string]any{"issuer": "servers", "force": true, "new_key": true, "names": []any{"pg.example.net"}}), true)
	w.reload()
	if got := w.psql("service=dbuser1@db1"); got != good {
		t.Errorf("after renewal: %s", got)
	}
	if got := w.sb.Shell("cd /home/app/.postgresql/pgfleet/dbuser1/v && ls | wc -l && sha256sum */client.key | cut -c1-64 | sort -u | wc -l"); got != "2\n1" {
		t.Errorf("versions and different keys: %q", got)
	}
	if got := w.sb.Shell("cd /etc/pgfleet/15-main/v && ls | wc -l && sha256sum */server.key | cut -c1-64 | sort -u | wc -l"); got != "2\n2" {
		t.Errorf("versions and different keys: %q", got)
	}
}
