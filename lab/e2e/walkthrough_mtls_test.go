package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// TestShippedPlaybook runs playbooks/mtls.yaml from bare hosts to verified mutual TLS, with the inventory as the lab writes it.
func TestShippedPlaybook(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 1, Client: 1})
	common := []string{"-i", filepath.Join(l.Folder(), "inventory.yaml"), "--ssh-config", "none", "-o", "json"}
	do := func(t *testing.T, args ...string) printers.Document {
		t.Helper()
		code, out := runPgfleet(t, append(args, common...)...)
		doc := readDocument(t, out)
		if code != 0 || doc.ExitCode != 0 {
			t.Fatalf("%s: exit %d:\n%s", args[0], code, out)
		}
		for _, c := range doc.Cells {
			if !c.OK || c.NotProven {
				t.Errorf("%s: %+v", args[0], c)
			}
		}
		return doc
	}
	first := do(t, "run", "../../playbooks/mtls.yaml", "-v")
	expectHosts(t, "first run", first, "changed")
	second := do(t, "run", "../../playbooks/mtls.yaml", "-v")
	expectHosts(t, "second run", second, "ok")
	for _, task := range second.Tasks {
		if task.Kind != "ok" {
			t.Errorf("second run: %s %s: %s %s", task.Host, task.Task, task.Kind, task.Summary)
		}
	}
	expectCells(t, "second run", second, "login")
	expectCells(t, "verify", do(t, "verify"), "login", "verify-ca", "no-tls", "wrong-root", "wrong-name", "no-certificate", "revoked")

	// Seen without pgfleet: the application's service needs no password, and nothing else lets its user in.
	got := labtest.Exec(t, l, "app1", "runuser", "-u", "postgres", "--", psqlPath, "-XAtw", "-d", "service=dbuser1@db1 dbname=postgres", "-c", seenQuery)
	if got != "dbuser1 true /CN=dbuser1" {
		t.Errorf("the server saw %q", got)
	}
}

// expectHosts sees that every host ended in one way, and tells what its connection cost.
func expectHosts(t *testing.T, run string, doc printers.Document, kind string) {
	t.Helper()
	if len(doc.Hosts) != 5 {
		t.Errorf("%s: %d hosts, want 5", run, len(doc.Hosts))
	}
	for _, h := range doc.Hosts {
		if string(h.Kind) != kind {
			t.Errorf("%s: %s is %s, want %s: %s", run, h.Host, h.Kind, kind, h.Reason)
		}
		if fmt.Sprint(h.Connections) != "1" {
			t.Errorf("%s: %s took %v connections, want 1", run, h.Host, h.Connections)
		}
		t.Logf("%s: %s: connections %v, round trips %v, file batches %v", run, h.Host, h.Connections, h.RoundTrips, h.FileBatches)
	}
}

// expectCells sees that these tests were among those made.
func expectCells(t *testing.T, run string, doc printers.Document, checks ...string) {
	t.Helper()
	made := map[string]bool{}
	for _, c := range doc.Cells {
		made[c.Check] = true
	}
	for _, check := range checks {
		if !made[check] {
			t.Errorf("%s: no test %q among %v", run, check, made)
		}
	}
}
