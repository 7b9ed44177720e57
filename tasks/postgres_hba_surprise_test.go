package tasks

import (
	"net/netip"
	"strings"
	"testing"
)

// surprised gives what the step that makes a server insist says of its sessions and of where clients come from.
func surprised(t *testing.T, admit string, sessions []Session, from ...string) string {
	t.Helper()
	fleet := &Fleet{Hosts: map[string]*Host{}, Proofs: &Proofs{}}
	db := &Host{Name: "db1", Address: "10.0.0.1", Roles: []string{"db_server"}, View: &View{}, Fleet: fleet}
	app := &Host{Name: "app1", Address: "10.0.0.2", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "orders"}, {OSUser: "app", DBUser: "reports", Databases: []string{"reports"}}}}
	fleet.Hosts["db1"], fleet.Hosts["app1"] = db, app
	for _, addr := range from {
		fleet.Proofs.NoteSource("app1", "db1", netip.MustParseAddr(addr))
	}
	const before = "host all all 10.0.0.0/8 scram-sha-256\n"
	var lines []string
	for line := range strings.Lines(admit) {
		lines = append(lines, strings.TrimSpace(line))
	}
	after := "# BEGIN pgfleet\n" + strings.Join(lines, "\n") + "\n# END pgfleet\n" + before
	w := &hbaWork{h: db, c: &Cluster{ID: "15/main", Major: 15, HBAFile: "pg_hba.conf", Sessions: sessions}, before: before, after: after, lines: lines}
	parts, err := w.shutOut()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(parts, "\n")
}

// Applications of declared users that show no certificate yet are told of, and nobody else; so are clients that come from elsewhere.
func TestNobodyIsSurprised(t *testing.T) {
	const cert = `hostnossl all all all reject
		hostssl all orders 10.0.0.2/32 cert
		hostssl reports reports 10.0.0.2/32 cert
		host all orders,reports all reject`
	with := func(s Session, tls bool, serial string) Session {
		s.TLS, s.Serial = tls, serial
		return s
	}
	orders := Session{User: "orders", Database: "shop", Address: "10.0.0.2"}
	const none, clear = "role orders, database shop, from 10.0.0.2, without a certificate", "role orders, database shop, from 10.0.0.2, without TLS and without a certificate"
	password := strings.ReplaceAll(cert, "cert", "scram-sha-256")
	full := strings.ReplaceAll(cert, "cert", "scram-sha-256 clientcert=verify-full")
	for _, tt := range []struct {
		name, admit string
		session     Session
		want        string
	}{
		{"certificate", cert, with(orders, true, "17"), ""},
		{"none", cert, with(orders, true, ""), none},
		{"clear text", cert, with(orders, false, ""), clear},
		{"certificate besides the password", full, with(orders, true, ""), none},
		{"both", full, with(orders, true, "17"), ""},
		{"a password is enough", password, with(orders, true, ""), ""},
		{"a password in clear text", password, with(orders, false, ""), "from 10.0.0.2, without TLS"},
		{"clear text is allowed", "host all orders 10.0.0.2/32 scram-sha-256", with(orders, false, ""), ""},
		{"an exception of its own", "hostssl all orders 10.0.0.2/32 scram-sha-256\n" + cert, with(orders, true, ""), ""},
		{"through the socket", cert, Session{User: "orders", Database: "shop"}, ""},
		{"another database than its own", cert, Session{User: "reports", Database: "shop", Address: "10.0.0.2", TLS: true, Serial: "17"}, "session open now: role reports, database shop"},
		{"another address", cert, Session{User: "orders", Database: "shop", Address: "10.0.0.3", TLS: true, Serial: "17"}, "session open now: role orders, database shop, from 10.0.0.3"},
	} {
		got := surprised(t, tt.admit, []Session{tt.session, tt.session})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Count(got, "session open now") > 1 {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct{ admit, from, want string }{
		{cert, "10.0.0.2", ""},
		{cert, "10.0.0.3", "orders of app1: connects from 10.0.0.3, and by the inventory from 10.0.0.2\n  reports of app1: connects from 10.0.0.3"},
		{cert, "2001:db8::2", "orders of app1: connects from 2001:db8::2"},
		{"hostssl all all all cert", "10.0.0.3", ""},
		{"# declared identities, from their clients only\nhostssl shop orders,reports 10.0.0.2/32 cert\nhostssl reports reports 10.0.0.2/32 cert\nhostssl shop orders 10.0.0.2/32 cert", "10.0.0.2", ""},
		{"hostssl all all 10.0.0.0/24 cert", "10.0.0.3", ""},
	} {
		if got := surprised(t, tt.admit, nil, tt.from); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("from %s: %q, want %q", tt.from, got, tt.want)
		}
	}
}
