package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// TestShippedPlaybook runs playbooks/mtls.yaml from bare hosts to verified mutual TLS, with the inventory as the lab writes it. Then a second client joins,
// with users whose names need quotes everywhere, and the rules become the article's. Hosts differ in how one gets root there.
func TestShippedPlaybook(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 1, Client: 2, Variants: []lab.Variant{{Hosts: "db", Access: lab.SudoPassword}, {Hosts: "app2", Access: lab.RootLogin}}})
	first := writeInventory(t, without(t, l.Inventory(), "app2.example.net"))
	t.Run("from bare hosts", func(t *testing.T) { fromBareHosts(t, l, first) })
	t.Run("damage is noticed and repaired", func(t *testing.T) { repaired(t, l, first) })
	joined := writeInventory(t, withIdentities(t, l.Inventory(), "app2.example.net", `{postgres: [dbuser1, {user: "o'br\"ien x", databases: [postgres]}], ops: [dbuser1]}`))
	t.Run("a client joins", func(t *testing.T) { clientJoins(t, l, joined) })
	t.Run("the article's catch-all", func(t *testing.T) { catchAll(t, l, joined) })
	t.Run("a client without psql", func(t *testing.T) {
		labtest.Exec(t, l, "app2", "sh", "-c", "rm /usr/bin/psql /usr/lib/postgresql/*/bin/psql")
		doc := runShipped(t, joined, "verify", "-l", "app2")
		expectCells(t, "verify", doc, "login", "verify-ca", "no-tls", "wrong-root", "wrong-name", "no-certificate", "revoked")
		for _, c := range doc.Cells {
			if c.Via == "psql" {
				t.Errorf("made with psql, which is gone: %+v", c)
			}
		}
	})
}

func fromBareHosts(t *testing.T, l *lab.Lab, inventory string) {
	first := runShipped(t, inventory, "run", "../../playbooks/mtls.yaml")
	expectHosts(t, "first run", first, "changed", 5)
	second := runShipped(t, inventory, "run", "../../playbooks/mtls.yaml")
	expectHosts(t, "second run", second, "ok", 5)
	expectTasks(t, "second run", second)
	expectCells(t, "second run", second, "login")
	expectCells(t, "verify", runShipped(t, inventory, "verify"), "login", "verify-ca", "no-tls", "wrong-root", "wrong-name", "no-certificate", "revoked")
	expectLogin(t, l, "app1", "dbuser1", true)
	expectLogin(t, l, "app2", "dbuser1", false)
}

func clientJoins(t *testing.T, l *lab.Lab, inventory string) {
	doc := runShipped(t, inventory, "run", "../../playbooks/mtls.yaml")
	expectTasks(t, "with a second client", doc, "app2.example.net hosts_entry", "app2.example.net trust", "app2.example.net certificate",
		"db1.example.net postgres_role", "db1.example.net postgres_hba", "db1.example.net postgres_reload")
	for _, host := range []string{"app1", "app2"} {
		expectLogin(t, l, host, "dbuser1", true)
	}
	expectLogin(t, l, "app2", `o'br"ien x`, true)
	expectTasks(t, "again", runShipped(t, inventory, "run", "../../playbooks/mtls.yaml"))
}

func catchAll(t *testing.T, l *lab.Lab, inventory string) {
	args := []string{"run", "../../playbooks/mtls.yaml", "-e", "scope=all"}
	code, out := runPgfleet(t, append(args, "-i", inventory, "--ssh-config", "none")...)
	if code != 2 || !strings.Contains(out, "role postgres from") || strings.Contains(out, "have not connected") {
		t.Fatalf("exit %d, want 2 for the role that would be refused:\n%s", code, out)
	}
	args = append(args, "--accept-refusals")
	expectTasks(t, "accepted", runShipped(t, inventory, args...), "db1.example.net postgres_hba", "db1.example.net postgres_reload")
	expectTasks(t, "again", runShipped(t, inventory, args...))
	expectLogin(t, l, "app2", `o'br"ien x`, true)
}

// entryOf finds a host's entry in the lab's inventory.
func entryOf(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(name) + `:\n(?:    .*\n)*`)
}

// without gives an inventory without one host.
func without(t *testing.T, inventory, name string) string {
	t.Helper()
	text := entryOf(name).ReplaceAllString(inventory, "")
	if text == inventory {
		t.Fatalf("no %s in\n%s", name, inventory)
	}
	return text
}

// withIdentities gives an inventory in which a host has other identities.
func withIdentities(t *testing.T, inventory, name, identities string) string {
	t.Helper()
	text := entryOf(name).ReplaceAllStringFunc(inventory, func(entry string) string {
		return strings.Replace(entry, "identities: {postgres: [dbuser1]}", "identities: "+identities, 1)
	})
	if text == inventory {
		t.Fatalf("no identities of %s in\n%s", name, inventory)
	}
	return text
}

func writeInventory(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runShipped runs a command line that has to end well, with every connection test as wanted.
func runShipped(t *testing.T, inventory string, args ...string) printers.Document {
	t.Helper()
	code, out := runPgfleet(t, append(args, "-i", inventory, "--ssh-config", "none", "-o", "json")...)
	doc := readDocument(t, out)
	if code != 0 || doc.ExitCode != 0 {
		t.Fatalf("%q: exit %d:\n%s", args, code, out)
	}
	for _, c := range doc.Cells {
		if !c.OK || c.NotProven {
			t.Errorf("%s: %+v", args[0], c)
		}
	}
	return doc
}

// expectLogin asks, without pgfleet, whether the application's service logs in with the certificate and no password.
func expectLogin(t *testing.T, l *lab.Lab, host, user string, want bool) {
	t.Helper()
	service := "service='" + strings.ReplaceAll(user, "'", `\'`) + "@db1' dbname=postgres"
	out, err := l.Exec(t.Context(), host, []string{"runuser", "-u", "postgres", "--", psqlPath, "-XAtw", "-d", service, "-c", seenQuery}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Code == 0 && strings.HasPrefix(out.Stdout, user+" true /CN="); got != want {
		t.Errorf("%s as %s: login %t, want %t: exit %d: %s%s", host, user, got, want, out.Code, out.Stdout, out.Stderr)
	}
}

// expectTasks sees that these tasks, "host task", changed something and all others were as wanted.
func expectTasks(t *testing.T, run string, doc printers.Document, changed ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, task := range doc.Tasks {
		name := task.Host + " " + task.Task
		if task.Kind == "changed" && slices.Contains(changed, name) {
			seen[name] = true
		} else if task.Kind != "ok" {
			t.Errorf("%s: %s: %s %s %s", run, name, task.Kind, task.Summary, task.Reason)
		}
	}
	for _, name := range changed {
		if !seen[name] {
			t.Errorf("%s: %s changed nothing", run, name)
		}
	}
}

// expectHosts sees that every host ended in one way, and tells what its connection cost.
func expectHosts(t *testing.T, run string, doc printers.Document, kind string, hosts int) {
	t.Helper()
	if len(doc.Hosts) != hosts {
		t.Errorf("%s: %d hosts, want %d", run, len(doc.Hosts), hosts)
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
