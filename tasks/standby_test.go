package tasks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// seenServer is a host whose probe has seen one cluster: of a system, in recovery or not, with a primary_conninfo.
func seenServer(f *Fleet, name, address, system string, standby bool, conninfo string) *Host {
	put := func(name, body string) string { return fmt.Sprintf("%s %d\n%s\n", name, len(body), body) }
	replication, _ := json.Marshal(map[string]any{"system": system, "conninfo": conninfo, "written": conninfo, "source": "configuration file", "context": "sighup",
		"file": "/data/postgresql.auto.conf", "line": 3, "pending": false})
	answer := fmt.Sprintf("0\nserver\t{\"version\": 150018, \"standby\": %v, \"superuser\": \"on\", \"user\": \"postgres\"}\nsettings\t{}\nlines\t[]\nhba\t[]\nroles\t[]\ndatabases\t[]\nsessions\t[]\nreplication\t%s\n",
		standby, replication)
	out := put("host", "now=1") + put("cluster", "data=/data\nconfig=/data/postgresql.conf\nstate=running\npid=7\nmajor=15\nbin=/b\nuser=postgres\ngroup=postgres") +
		put("inside", put("pidfile", "5432\n/run\n*\nready")+put("sql", answer)) + put("end", "")
	h := &Host{Name: name, Address: address, Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	h.View.Put(transport.Result{Key: KeyPostgres, Stdout: []byte(out)})
	f.Hosts[name] = h
	return h
}

func TestStandbyDepth(t *testing.T) {
	f := &Fleet{Hosts: map[string]*Host{}}
	primary := seenServer(f, "db1.example.net", "10.0.0.1", "7", false, "host=db2 user=left_over")
	byAddress := seenServer(f, "db2.example.net", "10.0.0.2", "7", true, "user=r host=10.0.0.1,10.0.0.9")
	cascading := seenServer(f, "db3.example.net", "10.0.0.3", "7", true, "user=r host=DB2.example.net password='x y'")
	below := seenServer(f, "db4.example.net", "10.0.0.4", "7", true, "user=r host=db3")
	stray := seenServer(f, "db5.example.net", "10.0.0.5", "8", true, "user=r host=elsewhere.example.org")
	other := seenServer(f, "db6.example.net", "10.0.0.6", "7", true, "user=r host=vip.example.net")
	loop := seenServer(f, "db7.example.net", "10.0.0.7", "9", true, "user=r host=db7")
	unseen := &Host{Name: "db8.example.net", Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	for _, tt := range []struct {
		h     *Host
		depth int
		stray string
	}{
		{primary, 0, ""}, {byAddress, 1, ""}, {cascading, 2, ""}, {below, 3, ""},
		{stray, 1, "cluster 15/data of db5.example.net is a standby of elsewhere.example.org, which is not in the inventory"},
		{other, 1, ""}, // its primary is known by the system that both belong to
		{loop, 1, ""}, {unseen, 0, ""},
	} {
		if got := StandbyDepth(tt.h); got != tt.depth {
			t.Errorf("%s: %d, want %d", tt.h.Name, got, tt.depth)
		}
		if got := strings.Join(StrayStandbys(tt.h), "\n"); !strings.HasPrefix(got, tt.stray) || (got == "") != (tt.stray == "") {
			t.Errorf("%s: %q, want %q", tt.h.Name, got, tt.stray)
		}
	}
}

// Which user a standby streams as afterwards, and what of its connection string stays.
func TestReplicationPlan(t *testing.T) {
	id := func(user string) Identity {
		return Identity{OSUser: "postgres", DBUser: user, Replication: true, AllowPrivileged: true}
	}
	for _, tt := range []struct {
		user, want string
		ids        []Identity
	}{
		{"standby", "standby", []Identity{id("standby"), id("other")}},
		{"postgres", "standby", []Identity{id("standby")}},
		{"postgres", "refused", []Identity{id("standby"), id("other")}},
		{"postgres", "", []Identity{{OSUser: "enterprisedb", DBUser: "standby", Replication: true}}},
	} {
		got, err := replicationIdentity(tt.ids, &Cluster{OSUser: "postgres"}, tt.user)
		switch {
		case tt.want == "refused":
			if err == nil {
				t.Errorf("%s of %v: %v", tt.user, tt.ids, got)
			}
		case err != nil || (got == nil) != (tt.want == "") || got != nil && got.DBUser != tt.want:
			t.Errorf("%s of %v: %v, %v; want %q", tt.user, tt.ids, got, err, tt.want)
		}
	}
}
