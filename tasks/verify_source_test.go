package tasks

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

func TestParseSources(t *testing.T) {
	out := `server db1.example.net 10.88.0.21
server db2 2001:db8::21
server 10.88.0.23 10.88.0.23
server db4 10.88.0.24
server db5 10.99.0.1
10.88.0.21 dev eth0 src 10.88.0.99 uid 0 \    cache
2001:db8::21 from :: via fe80::1 dev eth0 proto ra src 2001:db8::99 metric 100 pref medium
local 10.88.0.23 dev lo src 10.88.0.23 uid 0 \    cache <local>
10.99.0.1 via 10.88.0.1 dev eth0 src nowhere
`
	want := map[string]netip.Addr{"db1.example.net": netip.MustParseAddr("10.88.0.99"), "db2": netip.MustParseAddr("2001:db8::99"), "10.88.0.23": netip.MustParseAddr("10.88.0.23")}
	if got := parseSources(out); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A host's short name can look like an address in hexadecimal.
func TestSourcesOnAHost(t *testing.T) {
	w := newWorld(t)
	w.sb.Shell(`ip link set lo up; ip addr add 10.7.7.7/32 dev lo; echo "10.7.7.7 db1 cafe.fade db1.example.net" >>/etc/hosts`)
	results, err := w.conn.Do(t.Context(), transport.Step{Key: "routes", Shell: verifySourceProgram, Argv: []string{"10.7.7.7", "db1", "cafe.fade", "db1.example.net", "nowhere.invalid"}, Probe: true})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	want := map[string]netip.Addr{}
	for _, name := range []string{"10.7.7.7", "db1", "cafe.fade", "db1.example.net"} {
		want[name] = netip.MustParseAddr("10.7.7.7")
	}
	if got := parseSources(string(results[0].Stdout)); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v, of %s", got, want, results[0].Stdout)
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add("server db1 10.88.0.21\n10.88.0.21 dev eth0 src 10.88.0.99\n")
	f.Add("src\nserver a\nsrc src\n1.1.1.1 src")
	f.Fuzz(func(t *testing.T, out string) {
		for name, addr := range parseSources(out) {
			if name == "" || !addr.IsValid() || addr.Zone() != "" {
				t.Errorf("%q is at %v", name, addr)
			}
		}
	})
}

func TestAddressesInMessages(t *testing.T) {
	for text, want := range map[string]string{
		"psql: error: connection to server at \"db1\" (10.88.0.21), port 5432 failed: fe_sendauth: no password supplied":                                                       "10.88.0.21",
		"psql: error: connection to server at \"db1\" (2001:db8::21), port 5432 failed: Connection refused\nconnection to server at \"db1\" (10.88.0.21), port 5432 failed: x": "10.88.0.21",
		"psql: error: FATAL:  no pg_hba.conf entry for host \"10.88.0.31\"":                                                                                                    "",
	} {
		if got := reachedAddress(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`FATAL:  no pg_hba.conf entry for host "10.88.0.99", user "dbuser1", database "postgres", SSL encryption`:                        "10.88.0.99",
		`FATAL:  pg_hba.conf lehnt Verbindung ab für Host »2001:db8::99«, Benutzer »dbuser1«, Datenbank »postgres«, SSL-Verschlüsselung`: "2001:db8::99",
		`FATAL:  ホスト"10.88.0.99"、ユーザー"dbuser1"、データベース"postgres", SSL暗号化用のエントリがpg_hba.confにありません`:                                         "10.88.0.99",
		`FATAL:  pg_hba.conf rejects connection for host "fe80::1%eth0", user "x", database "y", no encryption`:                          "fe80::1",
		`FATAL:  pg_hba.conf rejects connection for host "[local]", user "x"`:                                                            "invalid IP",
	} {
		if got, _ := refusedFrom(text); got.String() != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
