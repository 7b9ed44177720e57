package tasks

import (
	"context"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// realAuthorities puts authorities with keys of their own on a host in the place of the test's.
func (w *world) realAuthorities() *Host {
	w.t.Helper()
	day := 24 * time.Hour
	w.fleet.Authorities = map[string]pki.Authority{
		"clients":      {Name: "clients", Host: "ca.example.net", Subject: "CN=root-ca1", ValidFor: 3650 * day},
		"servers_root": {Name: "servers_root", Host: "ca.example.net", Subject: "CN=root-ca2", ValidFor: 3650 * day},
		"servers":      {Name: "servers", Host: "ca.example.net", Issuer: "servers_root", Subject: "CN=intermediate.example.net", ValidFor: 1825 * day},
	}
	host := &Host{Name: "ca.example.net", Address: "127.0.0.1", Roles: []string{"root_ca"}, View: &View{}, Fleet: w.fleet}
	w.fleet.Hosts[host.Name] = host
	w.fleet.CA = NewAuthorities(w.fleet.Authorities, func(name string) *View { return w.fleet.Hosts[name].View },
		func(ctx context.Context, _ string, steps ...transport.Step) ([]transport.Result, error) {
			return w.conn.Do(ctx, steps...)
		}, time.Now)
	return host
}

// With authorities whose keys are on a host too: from nothing to a login, and a renewal that keeps the key.
func TestLoginWithRealAuthorities(t *testing.T) {
	w := newWorld(t)
	w.startPostgres()
	ca := w.realAuthorities()
	w.sb.Shell("touch /tmp/start")
	w.sb.Shell(`su postgres -c "psql -qc 'create role dbuser1 login' -c 'create database dbuser1'"
f=/etc/postgresql/15/main/pg_hba.conf
{ echo 'hostssl all all 127.0.0.1/32 cert'; cat $f; } >/tmp/hba && cat /tmp/hba >$f`)
	steps := []struct {
		h      *Host
		kind   string
		values map[string]any
	}{{ca, "authority", nil}, {w.server, "certificate", serverCertificate}, {w.server, "trust", serverTrusts}, {w.client, "hosts_entry", nil}, {w.client, "trust", clientTrust}, {w.client, "certificate", clientCertificate}}
	for _, again := range []bool{false, true} {
		for _, s := range steps {
			w.must(s.h, task(t, s.kind, s.values), !again)
		}
	}
	w.reload()
	if got := w.psql("service=dbuser1@db1"); got != "dbuser1|t" {
		t.Fatal(got)
	}
	force := map[string]any{"issuer": "clients", "force": true}
	w.must(w.client, task(t, "certificate", force), true)
	w.must(w.client, task(t, "certificate", clientCertificate), false)
	if got := w.psql("service=dbuser1@db1"); got != "dbuser1|t" {
		t.Error(got)
	}
	out := w.sb.Shell("cd /home/app/.postgresql/pgfleet/dbuser1/v && for f in */client.crt; do openssl x509 -in $f -noout -serial; done | sort -u | wc -l; sha256sum */client.key | cut -c1-64 | sort -u | wc -l")
	if out != "2\n1" {
		t.Errorf("certificates and keys: %s", out)
	}
	// Keys are where they were made, and nowhere else.
	places := w.sb.Shell(`find /home /etc /tmp /run /srv /var/lib/postgresql /var/tmp -newer /tmp/start -type f -exec grep -l 'PRIVATE KEY' {} + | sed 's#/2[0-9TZa]*/#/*/#' | sort -u`)
	want := `/etc/pgfleet/15-main/v/*/server.key
/etc/pgfleet/ca/clients/keys/ca.key
/etc/pgfleet/ca/servers/keys/ca.key
/etc/pgfleet/ca/servers_root/keys/ca.key
/home/app/.postgresql/pgfleet/dbuser1/v/*/client.key`
	if places != want {
		t.Errorf("private keys are in\n%s\nwant\n%s", places, want)
	}
}
