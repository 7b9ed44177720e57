package playbooks_test

import (
	"context"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// oneInventory is the walkthrough's fleet with server and client on one host, since private hosts of a test do not reach each other.
const oneInventory = `
hosts:
  ca1: {roles: [root_ca]}
  ca2: {roles: [root_ca]}
  ca3: {roles: [intermediate_ca]}
  one.example.net: {roles: [db_server, client], address: 10.9.9.1, identities: {postgres: [dbuser1]}}
authorities:
  clients:      {host: ca1, subject: "CN=root-ca1", valid_for: 3650d}
  servers_root: {host: ca2, subject: "CN=root-ca2", valid_for: 3650d}
  servers:      {host: ca3, issuer: servers_root, subject: "CN=intermediate.example.net", valid_for: 1825d}
`

// TestMutualTLS: the shipped playbook on real hosts with a real server, from nothing to verified; then again, and nothing changes.
func TestMutualTLS(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(oneInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*transporttest.Sandbox{}
	for _, h := range inv.Hosts {
		hosts[h.Name] = transporttest.NewSandbox(t)
	}
	serverWithCluster(hosts["one.example.net"])
	pb, err := playbooks.Load("mtls")
	if err != nil {
		t.Fatal(err)
	}
	run := func() (*playbooks.Outcome, []events.Event) {
		t.Helper()
		plan, err := playbooks.NewPlan(pb, inv, playbooks.PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var told []events.Event
		out, err := playbooks.Run(t.Context(), plan, playbooks.RunOptions{Owner: "test", Sink: func(e events.Event) { told = append(told, e) },
			Dial: func(_ context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
				return hosts[h.Name].Connect(), nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range told {
			if e.Type == events.Task {
				t.Logf("%-14s %-16s %-40s %s%s", e.Kind, e.Host, e.Task, e.Summary, e.Reason)
			} else if e.Type == events.Host || e.Type == events.Notice {
				t.Logf("%s %s %s %s%s %v", e.Type, e.Kind, e.Host, e.Summary, e.Reason, e.Data)
			}
		}
		for _, c := range out.Cells {
			t.Logf("cell %v %s: want %s, got %s (%s)", c.OK, c.Check, c.Want, c.Got, c.Detail)
		}
		return out, told
	}
	out, _ := run()
	if out.Exit != 0 {
		t.Fatalf("first run: exit %d", out.Exit)
	}
	for _, c := range out.Cells {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	if len(out.Cells) == 0 {
		t.Error("nothing was verified")
	}
	out, told := run()
	for name, h := range out.Hosts {
		if h.Kind != events.OK || h.Changed != 0 {
			t.Errorf("second run: %s %+v", name, h)
		}
	}
	for _, e := range told {
		if e.Type == events.Certificate {
			t.Errorf("second run signed: %+v", e)
		}
	}
}

// serverWithCluster gives a private host a PostgreSQL cluster of its own, that runs.
func serverWithCluster(server *transporttest.Sandbox) {
	server.Shell(`set -e
		mkdir -p /run/postgresql && chown postgres:postgres /run/postgresql
		rm -rf /etc/postgresql/15 /var/lib/postgresql/15 ~postgres/.postgresql ~postgres/.pg_service.conf
		ip addr add 10.9.9.1/32 dev lo
		pg_createcluster 15 main -p 5432 -o listen_addresses='*' >/dev/null
		pg_ctlcluster 15 main start`)
}
