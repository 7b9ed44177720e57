package cmd

import (
	"slices"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
)

// A client that -l chooses without its servers may be refused by them: they are named. Who is chosen, or no server of that client, is not.
func TestServersLeftOut(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(`
hosts:
  ca1.example.net: {roles: [root_ca]}
  db[1:3].example.net: {roles: [db_server]}
  app1.example.net: {roles: [client], connects_to: ["db[1:2]"], identities: {postgres: [dbuser1]}}
authorities:
  clients: {host: ca1.example.net, subject: "CN=clients"}
  servers: {host: ca1.example.net, subject: "CN=servers"}
`), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	pb, err := playbooks.Load("mtls")
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[string][]string{"app1": {"db1.example.net", "db2.example.net"}, "app1,db1": {"db2.example.net"}, "db1": nil, "": nil} {
		plan, err := playbooks.NewPlan(pb, inv, playbooks.PlanOptions{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		if got := leftServers(plan); !slices.Equal(got, want) {
			t.Errorf("-l %q leaves out %v, want %v", limit, got, want)
		}
	}
}
