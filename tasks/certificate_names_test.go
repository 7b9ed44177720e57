package tasks

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

func TestServerNames(t *testing.T) {
	long := strings.Repeat("a", 60) + ".example.net"
	cases := []struct {
		host   Host
		values map[string]any
		cn     string
		names  []string
		ips    int
	}{
		{Host{Name: "db1.example.net", Address: "10.0.0.1", Names: []string{"db.example.net", "DB1.example.net"}}, nil, "db1.example.net", []string{"db1.example.net", "db.example.net"}, 1},
		{Host{Name: "db1", Address: "db1.example.net"}, map[string]any{"names": []any{"fd00::1", "10.0.0.2"}}, "db1", []string{"db1", "db1.example.net"}, 2},
		{Host{Name: "db1", Address: "::ffff:10.0.0.1"}, map[string]any{"cn": ""}, "", []string{"db1"}, 1}, // W14
		{Host{Name: "db1", Address: "db1"}, map[string]any{"cn": "other"}, "other", []string{"db1"}, 0},
		{Host{Name: long, Address: long}, nil, "", []string{long}, 0},
	}
	for _, c := range cases {
		values := map[string]any{"issuer": "servers", "profile": "server"}
		for k, v := range c.values {
			values[k] = v
		}
		tmpl := task(t, "certificate", values).(*certificateTask).serverTemplate(&c.host)
		if tmpl.Subject.CommonName != c.cn || !slices.Equal(tmpl.DNSNames, c.names) || len(tmpl.IPAddresses) != c.ips || tmpl.Profile != pki.ProfileServer {
			t.Errorf("%s: %+v", c.host.Name, tmpl)
		}
		if err := tmpl.Check(); err != nil {
			t.Errorf("%s: %v", c.host.Name, err)
		}
	}
}

func TestServiceNames(t *testing.T) {
	fleet := &Fleet{Hosts: map[string]*Host{}}
	for _, name := range []string{"db1.a.net", "db1.b.net", "db2.a.net", "10.0.0.1"} {
		fleet.Hosts[name] = &Host{Name: name, Address: name, Roles: []string{"db_server"}}
	}
	fleet.Hosts["db2.b.net"] = &Host{Name: "db2.b.net", Roles: []string{"client"}}
	for name, want := range map[string]string{"db1.a.net": "db1.a.net", "db1.b.net": "db1.b.net", "db2.a.net": "db2", "10.0.0.1": "10.0.0.1"} {
		if got := shortName(fleet, fleet.Hosts[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, c := range []struct{ name, address, want string }{{"db1", "db1.a.net", "db1.a.net"}, {"db1", "10.0.0.1", "db1"}, {"db1.a.net", "bastion.a.net", "db1.a.net"}, {"db1", "db1", "db1"}} {
		if got := serviceHost(&Host{Name: c.name, Address: c.address}); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	for user, want := range map[string]string{"dbuser1": "dbuser1", "..": "%2E.", "-x": "%2Dx", "a/b": "a%2Fb", "ä": "%C3%A4"} {
		if got := folderName(user); got != want {
			t.Errorf("%s has folder %s, want %s", user, got, want)
		}
	}
}
