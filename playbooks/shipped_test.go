package playbooks

import (
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
)

const walkthrough = `
vars: {ssh_user: ops, become: true}
hosts:
  ca1.example.net: {roles: [root_ca]}
  ca2.example.net: {roles: [root_ca]}
  ca3.example.net: {roles: [intermediate_ca]}
  db[01:05].example.net: {roles: [db_server]}
  app[01:02].example.net: {roles: [client], identities: {postgres: [dbuser1]}}
authorities:
  clients:      {host: ca1.example.net, subject: "CN=root-ca1", valid_for: 3650d}
  servers_root: {host: ca2.example.net, subject: "CN=root-ca2", valid_for: 3650d}
  servers:      {host: ca3.example.net, issuer: servers_root, subject: "CN=intermediate.example.net", valid_for: 1825d}
`

// TestShipped: every shipped playbook has a name and plans on the walkthrough's fleet; testdata/shipped holds what it would do.
func TestShipped(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(walkthrough), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Shipped() {
		pb, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := NewPlan(pb, inv, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/shipped/"+name+".txt", plan.String())
	}
}
