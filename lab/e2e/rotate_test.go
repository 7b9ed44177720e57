package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// serverPair and clientPair give serial number and public key of the certificate in force.
func (f *fleet) serverPair(t *testing.T, host string) (serial, key string) {
	t.Helper()
	path := f.sh(t, host, `sed -n "s/^ssl_cert_file = '\(.*\)'/\1/p" /etc/pgfleet/*-main/pgfleet.conf`)
	served := f.sh(t, host, "openssl s_client -starttls postgres -connect 127.0.0.1:5432 </dev/null 2>/dev/null | openssl x509 -noout -serial")
	serial = f.sh(t, host, "openssl x509 -noout -serial -in "+path)
	if serial != served {
		t.Errorf("%s serves %s, its file has %s", host, served, serial)
	}
	return serial, f.sh(t, host, "openssl x509 -noout -pubkey -in "+path)
}

func (f *fleet) clientPair(t *testing.T, host string) (serial, key string) {
	t.Helper()
	path := f.sh(t, host, "sed -n 's/^sslcert=//p' "+home+"/.pg_service.conf | head -n 1")
	return f.sh(t, host, "openssl x509 -noout -serial -in "+path), f.sh(t, host, "openssl x509 -noout -pubkey -in "+path)
}

// TestRotate renews certificates of a fleet. What its applications see meanwhile is in TestUnderLoad.
func TestRotate(t *testing.T) {
	t.Parallel()
	// Both chains have an intermediate.
	f := newFleet(t, lab.Options{DB: 2, Client: 2}).with(t, "  clients:      {host: ca1.example.net,", "  clients:      {host: ca3.example.net, issuer: clients_root, subject: \"CN=clients.example.net\", valid_for: 1825d}\n  clients_root: {host: ca1.example.net,")
	f.want(t, 0, nil, "run", shipped)
	silent := func(t *testing.T, f *fleet, args ...string) {
		t.Helper()
		if out := f.want(t, 0, nil, append([]string{"rotate"}, args...)...); out != "" {
			t.Errorf("nothing is due, and it says:\n%s", out)
		}
	}
	t.Run("nothing is due", func(t *testing.T) {
		silent(t, f)
		silent(t, f, "--check", "--detailed-exitcode")
		f.sh(t, "db1", "echo '# an edit that waits for its hour' >>/etc/postgresql/15/main/pg_hba.conf")
		loaded := f.sql(t, "db1", "select pg_conf_load_time()")
		silent(t, f)
		if f.sql(t, "db1", "select pg_conf_load_time()") != loaded {
			t.Error("nothing is due, and PostgreSQL was reloaded")
		}
		_, out := f.pgfleet(t, "rotate", "-o", "json")
		if doc := readDocument(t, out); len(doc.Cells) != 0 {
			t.Errorf("nothing is due, and %d connections were tested", len(doc.Cells))
		}
	})
	t.Run("names", func(t *testing.T) {
		db1, _ := f.serverPair(t, "db1")
		db2, _ := f.serverPair(t, "db2")
		app1, _ := f.clientPair(t, "app1")
		named := f.with(t, "    roles: [db_server]", "    roles: [db_server]\n    names: [more.example.net]")
		named.want(t, 7, []string{"would change db1.example.net: renew certificate of cluster 15/main (its names are"}, "rotate", "--check", "--detailed-exitcode")
		out := named.want(t, 0, []string{"changed db1.example.net: renew certificate of cluster 15/main (its names are"}, "rotate")
		if n := strings.Count(out, "\n"); n != 2 {
			t.Errorf("a renewal and a reload are not two lines:\n%s", out)
		}
		after, _ := f.serverPair(t, "db1")
		other, _ := f.serverPair(t, "db2")
		client, _ := f.clientPair(t, "app1")
		if after == db1 || other != db2 || client != app1 {
			t.Errorf("db1 %s, then %s; db2 %s, then %s; app1 %s, then %s", db1, after, db2, other, app1, client)
		}
		silent(t, named)
		// Somebody may connect by the name, so it does not go by itself.
		f.want(t, 2, []string{"would lose the names more.example.net"}, "rotate")
		f.want(t, 0, nil, "run", shipped, "-t", "offer")
		silent(t, f)
	})
	t.Run("failed proof", func(t *testing.T) { f.rotateUnproved(t) })
	t.Run("client's certificate refused", func(t *testing.T) {
		before, _ := f.clientPair(t, "app1")
		f.want(t, 2, []string{"the new certificate is not accepted where the one in force is, so nothing was switched", "postgres/dbuser1 at db1.example.net:5432: refused: unknown CA"},
			"task", "certificate", "-l", "app1.example.net", "issuer=servers", "profile=client")
		if after, _ := f.clientPair(t, "app1"); after != before {
			t.Errorf("in force was %s, is %s", before, after)
		}
		silent(t, f)
	})
	t.Run("applications", func(t *testing.T) { f.rotateApplications(t) })
}

// rotateUnproved has the proof of the first server fail. Its files of before come back, the second server is not touched, and no connection fails.
func (f *fleet) rotateUnproved(t *testing.T) {
	db1, _ := f.serverPair(t, "db1")
	db2, _ := f.serverPair(t, "db2")
	now := f.sh(t, "db1", `sed -n "s/^ssl_cert_file = .*\/v\/\(.*\)\/server.crt'/\1/p" /etc/pgfleet/15-main/pgfleet.conf`)
	f.sh(t, "db1", strings.Replace(portGuard, "if grep", "if ! grep", 1), now)
	l := f.begin(t, []string{"app1"}, []string{"db1", "db2"})
	out := f.want(t, 2, []string{"rolled back   db1.example.net", "the files of before are back and proved", "not gone on with: db1.example.net rolled back"}, "rotate", "--force", "-l", "db_server,app1.example.net")
	tries, failed := l.end(t)
	t.Logf("%d connections, %d failed; it says\n%s", len(tries), len(failed), out)
	if len(failed) > 0 {
		t.Errorf("failed connections:\n%s", strings.Join(failed, "\n"))
	}
	f.sh(t, "db1", "kill $(cat /run/guard.pid)")
	after1, _ := f.serverPair(t, "db1")
	after2, _ := f.serverPair(t, "db2")
	if after1 != db1 || after2 != db2 || strings.Contains(out, "changed") {
		t.Errorf("db1 %s, then %s; db2 %s, then %s:\n%s", db1, after1, db2, after2, out)
	}
	if out := f.want(t, 0, nil, "rotate"); out != "" {
		t.Errorf("nothing is due, and it says:\n%s", out)
	}
}

// rotateApplications has one application told of its new certificate, which it also wants as PKCS#12.
func (f *fleet) rotateApplications(t *testing.T) {
	identity := func(command string) *fleet {
		return f.with(t, "{postgres: [dbuser1]}", "{postgres: [{user: dbuser1, formats: [pem, p12], after_change: {argv: ["+command+"], user: postgres}}]}")
	}
	told := func() string { return f.sh(t, "app1", "cat /tmp/told 2>/dev/null | wc -l") }
	p12 := func(args string) string {
		return f.sh(t, "app1", "cd "+home+"/.postgresql/pgfleet/dbuser1; openssl pkcs12 -in client.p12 -passin file:client.p12.password "+args)
	}
	works := identity(`sh, -c, "id -un >>/tmp/told"`)
	works.want(t, 0, nil, "run", shipped)
	if n := told(); n != "0" {
		t.Errorf("the certificate did not change, and after_change ran %s times", n)
	}
	before := p12("-nokeys -clcerts | openssl x509 -noout -serial")
	works.want(t, 0, []string{"changed app1.example.net: renew certificate of dbuser1 of postgres (asked for)"}, "rotate", "--force", "-l", "app1.example.net")
	serial, key := f.clientPair(t, "app1")
	if n := told(); n != "1" || f.sh(t, "app1", "cat /tmp/told") != "postgres" {
		t.Errorf("after_change ran %s times, want once as postgres", n)
	}
	if got := p12("-nokeys -clcerts | openssl x509 -noout -serial"); got != serial || got == before {
		t.Errorf("client.p12 has %s, was %s, in force is %s", got, before, serial)
	}
	if got := p12("-nodes -nocerts | openssl pkey -pubout"); got != key {
		t.Errorf("client.p12 has another key than the one in force")
	}
	if got := p12("-nokeys"); !strings.Contains(got, "friendlyName: user") || strings.Count(got, "BEGIN CERTIFICATE") != 3 {
		t.Errorf("client.p12 is not named user, or has not the whole chain:\n%s", got)
	}
	if got := f.sh(t, "app1", "stat -c '%U %a' "+home+"/.postgresql/pgfleet/dbuser1/client.p12*"); got != "postgres 600\npostgres 600" {
		t.Errorf("client.p12 and its password are %s", got)
	}
	works.want(t, 0, nil, "rotate")

	// A command that fails is told, and tried again by the next run, once.
	broken := identity(`sh, -c, "echo it is stuck >&2; exit 7"`)
	broken.want(t, 2, []string{"after_change of dbuser1 of postgres", "it is stuck"}, "rotate", "--force", "-l", "app1.example.net")
	if after, _ := f.clientPair(t, "app1"); after == serial {
		t.Error("the new certificate is not in force")
	}
	for _, want := range []string{"2", "2"} {
		out := works.want(t, 0, nil, "rotate")
		if n := told(); n != want {
			t.Errorf("after_change ran %s times, want %s:\n%s", n, want, out)
		}
	}
	if err := f.byService(t, "db1", "app1"); err != nil {
		t.Error(fmt.Errorf("at the end the service does not work: %w", err))
	}
}
