package playbooks_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

const joinedPlaybook = `
plays:
  - {name: roots, hosts: root_ca, tasks: [authority: {}]}
  - {name: intermediates, hosts: intermediate_ca, tasks: [authority: {}]}
  - name: servers
    hosts: db_server
    tasks:
      - certificate: {issuer: servers, profile: server}
      - postgres_settings: {ssl: on, ssl_ciphers: "{{ ciphers }}"}
      - postgres_reload: {}
`

// TestJoinedFails: where the one step that certificate, settings and reload are sent as fails, each of them ends as it would have by itself.
func TestJoinedFails(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(oneInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*transporttest.Sandbox{}
	for _, h := range inv.Hosts {
		hosts[h.Name] = transporttest.NewSandbox(t)
	}
	server := hosts["one.example.net"]
	serverWithCluster(server)
	run := func(ciphers string) (told string, keys [][]string) {
		t.Helper()
		pb, err := playbooks.Parse("joined.yaml", []byte(joinedPlaybook))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := playbooks.NewPlan(pb, inv, playbooks.PlanOptions{Vars: map[string]any{"ciphers": ciphers}})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		_, err = playbooks.Run(t.Context(), plan, playbooks.RunOptions{Owner: "test",
			Sink: func(e events.Event) {
				if e.Type == events.Task && e.Host == "one.example.net" {
					summary, _, _ := strings.Cut(e.Summary+e.Reason, " ")
					list = append(list, e.Task+" "+string(e.Kind)+" "+summary)
				}
			},
			Dial: func(_ context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
				if h.Name != "one.example.net" {
					return hosts[h.Name].Connect(), nil
				}
				return &keysConn{server.Connect(), &keys}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, "\n"), keys
	}
	told, _ := run("NOSUCH")
	if want := "certificate changed issue\npostgres_settings failed set\npostgres_reload skipped not"; told != want {
		t.Errorf("told %s\nwant %s", told, want)
	}
	told, keys := run("HIGH:!aNULL")
	if want := "certificate ok \npostgres_settings changed set\npostgres_reload changed reload"; told != want {
		t.Errorf("told %s\nwant %s", told, want)
	}
	if got := strings.Join(keys[1], ", "); got != "pgfleet.lease, settings of 15/main, postgres" {
		t.Errorf("sent %s: the reload was to go with the settings", got)
	}
}

// keysConn notes the keys of the steps of each round trip.
type keysConn struct {
	transport.Conn
	keys *[][]string
}

func (c *keysConn) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	var list []string
	for _, s := range steps {
		list = append(list, s.Key)
	}
	*c.keys = append(*c.keys, list)
	return c.Conn.Do(ctx, steps...)
}
