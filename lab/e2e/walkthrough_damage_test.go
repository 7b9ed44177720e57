package e2e_test

import (
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// reloadProgram has a damaged server read its files, as somebody's reload would.
const reloadProgram = `; runuser -u postgres -- ` + psqlPath + ` -XAtc "select pg_reload_conf()"`

// damages are what people and accidents do to a host; together they leave little of what the playbook made.
var damages = []struct{ host, what, program string }{
	{"db1", "the rules let dbuser1 in without anything", `sed -i '/^hostssl.* cert$/s/cert$/trust/' /etc/postgresql/15/main/pg_hba.conf`},
	{"db1", "postgresql.conf does not include pgfleet's settings", `sed -i /pgfleet/d /etc/postgresql/15/main/postgresql.conf`},
	{"db1", "the authorities for clients are gone", `rm /etc/pgfleet/15-main/trust-*`},
	{"db1", "the list of revoked certificates is gone", `rm /etc/pgfleet/15-main/crl-*`},
	{"db1", "the key is gone", `rm /etc/pgfleet/15-main/v/*/server.key`},
	{"app1", "the key can be read by everybody", `chmod 644 /var/lib/postgresql/.postgresql/pgfleet/dbuser1/v/*/client.key`},
	{"app1", "the roots are gone", `rm /var/lib/postgresql/.postgresql/pgfleet/dbuser1/root.crt`},
	{"app1", "the services are gone", `: >/var/lib/postgresql/.pg_service.conf`},
	{"app1", "the server's name is gone", `sed -i /db1/d /etc/hosts`},
}

// repaired damages both sides at once, sees that verification notices, and that one run of the playbook puts everything back.
func repaired(t *testing.T, l *lab.Lab, inventory string) {
	labtest.Exec(t, l, "db1", "sh", "-c", damages[0].program+reloadProgram)
	code, out := runPgfleet(t, "verify", "-i", inventory, "--ssh-config", "none", "-o", "json")
	if doc := readDocument(t, out); code != 3 || len(doc.Cells) != 1 || doc.Cells[0].Check != "rules" || doc.Cells[0].OK {
		t.Errorf("%s: verify gives exit %d:\n%s", damages[0].what, code, out)
	}
	for _, d := range damages[1:] {
		labtest.Exec(t, l, d.host, "sh", "-c", "set -e; "+d.program)
	}
	if code, out := runPgfleet(t, "verify", "-i", inventory, "--ssh-config", "none"); code != 3 {
		t.Errorf("verify gives exit %d, want 3:\n%s", code, out)
	}
	expectTasks(t, "repair", runShipped(t, inventory, "run", "../../playbooks/mtls.yaml"),
		"db1.example.net trust", "db1.example.net certificate", "db1.example.net postgres_reload", "db1.example.net postgres_hba",
		"app1.example.net hosts_entry", "app1.example.net trust", "app1.example.net certificate")
	expectTasks(t, "again", runShipped(t, inventory, "run", "../../playbooks/mtls.yaml"))
	runShipped(t, inventory, "verify")
	if err := l.Stop(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context(), "db1"); err != nil {
		t.Fatal(err)
	}
	expectLogin(t, l, "app1", "dbuser1", true)
}
