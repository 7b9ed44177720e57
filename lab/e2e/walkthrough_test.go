package e2e_test

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// layout is where files are and whom the rules name.
type layout struct {
	name string
	// home: the article's places, the data directory and ~/.postgresql; otherwise pgfleet's own.
	home  bool
	scope string
	// conninfo chooses files and user; {certificate} is the database user whose certificate is used.
	conninfo string
	// env of psql.
	env []string
	// vars of every run.
	vars []string
}

var layouts = []layout{
	{name: "own", scope: "declared", conninfo: "service={certificate}@db1 user={user} dbname=postgres"},
	{name: "article", home: true, scope: "all", conninfo: "port=5432 user={user} dbname=postgres",
		env:  []string{"PGSSLCERT=" + clientCert, "PGSSLKEY=" + clientKey, "PGSSLROOTCERT=" + clientRoots, "PGSSLCRL=" + clientLists},
		vars: []string{"server_dir=data", "client_dir=home", "server_roots=ca1.crt", "client_roots=ca2_int.crt"}},
}

// TestWalkthrough goes through the walkthrough from bare hosts to certificates instead of passwords, in pgfleet's layout and in the article's.
func TestWalkthrough(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 1, Client: 1})
	for i, lay := range layouts {
		if i > 0 {
			if err := l.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(lay.name, func(t *testing.T) { newWalk(t, l, lay).all(t) })
	}
}

// all takes the steps in their order. A later step builds on those before it: the first one that fails ends the walk.
func (w *walk) all(t *testing.T) {
	steps := []struct {
		name string
		do   func(*testing.T)
	}{
		{"authorities", w.authorities},
		{"server", w.server},
		{"client", w.client},
		{"stage password", func(t *testing.T) { w.stage(t, "password") }},
		{"several names", w.severalNames},
		{"stage verify-ca", func(t *testing.T) { w.stage(t, "verify-ca") }},
		{"stage verify-full", func(t *testing.T) { w.stage(t, "verify-full") }},
		{"stage cert", func(t *testing.T) { w.stage(t, "cert") }},
		{"W6 another certificate for the same key", w.reissue},
		{"a client's certificate is revoked", w.revokeClient},
		{"a server's certificate is revoked", w.revokeServer},
		{"keys have not moved", w.keysStayed},
		{"whoever was let in by the server's own rules", w.ownRules},
	}
	for _, s := range steps {
		if !t.Run(s.name, s.do) {
			t.Fatalf("the walk ends here: %s", s.name)
		}
	}
}

// stage raises the server to a stage and makes its connection tests.
func (w *walk) stage(t *testing.T, stage string) {
	if stage == "password" {
		w.unresolved(t)
	}
	w.vars["stage"], w.vars["entries"] = stage, w.entries()
	if w.home {
		t.Run("digoal would be shut out, so it is asked first", func(t *testing.T) { w.refusedFirst(t, stage) })
	}
	w.apply(t)
	if stage == "password" {
		t.Run("W9 roles", w.roles)
		t.Run("W10 rules", w.rules)
	}
	w.logins(t, stage)
	t.Run("pgfleet verify says so too", func(t *testing.T) { w.verify(t) })
}

// verify has pgfleet make its own tests, all of them, at the stage that the server is at.
func (w *walk) verify(t *testing.T) {
	code, out := w.run(t, "verify", "-o", "json")
	doc := readDocument(t, out)
	if code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	for _, c := range doc.Cells {
		if !c.OK || c.NotProven {
			t.Errorf("%+v", c)
		}
	}
	expectCells(t, "verify", doc, "login", "verify-ca", "no-tls", "wrong-root")
}

// unresolved sees what W13 starts from: the server's name means nothing to the client.
func (w *walk) unresolved(t *testing.T) {
	out := w.psql(t, "dbuser1", "dbuser1", "right", "host=db1.example.net sslmode=verify-full")
	if !strings.Contains(out.text, "could not translate host name") {
		t.Fatalf("W13: the name resolves before there is an entry: %s", out.text)
	}
}

// refusedFirst sees that a stage that refuses somebody who may log in today is not entered without being told to, and then tells it.
func (w *walk) refusedFirst(t *testing.T, stage string) {
	if stage == "password" {
		return
	}
	w.accept = false
	code, out := w.run(t, "run", w.playbook())
	if code != 2 || !strings.Contains(out, "digoal") {
		t.Errorf("exit %d, want 2 and digoal named:\n%s", code, out)
	}
	w.accept = true
}

// severalNames gives the server a certificate with several names and no common name.
func (w *walk) severalNames(t *testing.T) {
	before := w.served(t)
	w.vars["names"] = []string{"pg.example.net", "orders.example.net", w.addr}
	w.vars["cn"] = ""
	w.vars["entries"] = w.entries("pg.example.net", "orders.example.net")
	w.apply(t)
	t.Run("W14 the certificate", func(t *testing.T) {
		text := w.openssl(t, "db1", "x509", "-noout", "-subject", "-ext", "subjectAltName", "-in", w.setting(t, "ssl_cert_file"))
		for _, part := range []string{"subject=\n", "X509v3 Subject Alternative Name: critical", "DNS:db1.example.net", "DNS:pg.example.net", "DNS:orders.example.net", "IP Address:" + w.addr} {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
		if after := w.served(t); after.serial == before.serial || after.key != before.key {
			t.Errorf("served before %v, after %v: want another serial number and the same key", before, after)
		}
	})
	w.logins(t, "names")
}

// dir is where certificates are: the article's place or pgfleet's.
func (w *walk) dir(profile string) string {
	if dir, ok := w.vars[profile+"_dir"].(string); ok {
		return dir
	}
	return "own"
}

// reissue has certificates made anew from the keys that are there (W6).
func (w *walk) reissue(t *testing.T) {
	for host, args := range map[string][]string{
		"app1": {"issuer=clients", "profile=client", "tls_dir=" + w.dir("client")},
		"db1":  {"issuer=servers", "profile=server", "tls_dir=" + w.dir("server"), "cn=", `names:=["pg.example.net","orders.example.net","` + w.addr + `"]`},
	} {
		t.Run(host, func(t *testing.T) {
			before := w.pair(t, host)
			code, out := w.run(t, append([]string{"task", "certificate", "-l", host, "force=true", "valid_for=200d"}, args...)...)
			if code != 0 {
				t.Fatalf("exit %d:\n%s", code, out)
			}
			if host == "db1" {
				w.reload(t)
			}
			after := w.pair(t, host)
			if after.serial == before.serial || after.key != before.key || after.keyFile != before.keyFile {
				t.Errorf("before %v, after %v: want another serial number, the same key, the same bytes of the key's file", before, after)
			}
			w.expectLife(t, host, after.path, 200)
		})
	}
	if served, file := w.served(t), w.pair(t, "db1"); served.serial != file.serial {
		t.Errorf("served is %s, the file has %s", served.serial, file.serial)
	}
	w.logins(t, "cert")
}

// reload has the server read its files.
func (w *walk) reload(t *testing.T) {
	t.Helper()
	if code, out := w.run(t, "task", "postgres_reload", "-l", "db1"); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}
