package e2e_test

import (
	"testing"

	"github.com/pgfleet/pgfleet/lab"
)

// TestDatabases: which databases identities may use, and servers let them into, does not change what is proved of their logins. Nobody but its owner may connect to the database postgres
// here, as hardening guides want it, and only one of two identities of a host names its databases.
func TestDatabases(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1}).with(t, "identities: {postgres: [dbuser1]}", "identities: {postgres: [dbuser1, {user: orders, databases: [shop]}]}")
	f.sql(t, "db1", "create database shop")
	f.sql(t, "db1", "revoke connect on database postgres from public")
	f.want(t, 0, nil, "run", shipped)
	f.want(t, 0, []string{"0 differ"}, "verify")
	f.want(t, 0, nil, "rotate", "--force", "-l", "app1")
	// An identity whose database is closed to it cannot work there, and that is told.
	f.sql(t, "db1", "revoke connect on database shop from public")
	f.want(t, 3, []string{`permission denied for database "shop"`}, "verify")
}
