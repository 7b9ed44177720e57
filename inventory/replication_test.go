package inventory

import "testing"

// A server whose standbys have certificates is a client of the others, and stays a server in all else.
func TestReplicating(t *testing.T) {
	inv, err := Parse("inventory.yaml", []byte(`hosts:
  db[1:2]:
    roles: [db_server]
    identities: {postgres: [{user: standby, replication: true, allow_privileged: true}]}
  db3: {roles: [db_server]}
  app1: {roles: [client], identities: {app: [orders]}}
groups:
  client: {vars: {ssh_user: app}}
  db_server: {vars: {ssh_user: dba}}
`), Options{SSHConfig: "none", Home: "/home/ann", LocalUser: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		user   string
		client bool
	}{"db1": {"dba", true}, "db2": {"dba", true}, "db3": {"dba", false}, "app1": {"app", true}} {
		h, _ := inv.Host(name)
		if h.Target.User != want.user || h.HasRole("client") != want.client {
			t.Errorf("%s: logs in as %s, client %v; want %s, %v", name, h.Target.User, h.HasRole("client"), want.user, want.client)
		}
	}
	both, err := inv.Select("db_server:&client")
	if err != nil || len(both) != 2 {
		t.Errorf("servers that are clients: %v, %v", both, err)
	}
}
