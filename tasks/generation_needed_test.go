package tasks

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// runningServer is a server as its probe would have told of it: the certificate in its file, the one that it serves, and who is connected.
func runningServer(t *testing.T, f *Fleet, name string, file, served *x509.Certificate, sessions ...sessionRow) *Host {
	t.Helper()
	rec := func(name, body string) string { return fmt.Sprintf("%s %d\n%s\n", name, len(body), body) }
	answer := "0\n"
	for topic, value := range map[string]any{"server": serverFacts{Version: 150018, Superuser: "on"}, "lines": []lineRow{}, "hba": []hbaRow{}, "roles": []roleRow{}, "databases": []string{}, "sessions": sessions,
		"settings": map[string]settingRow{"ssl": {Value: "on"}, "ssl_cert_file": {Value: "/server.crt"}, "listen_addresses": {Value: "*"}}} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		answer += topic + "\t" + string(text) + "\n"
	}
	out := rec("host", "now=1") + rec("cluster", "data=/var/lib/postgresql/15/main\nconfig=/etc/postgresql/15/main/postgresql.conf\nbin=/usr/lib/postgresql/15/bin\nuser=postgres\ngroup=postgres\nstate=running\nmajor=15") +
		rec("pidfile", "5432\n/var/run/postgresql\n*\nready") + rec("sql", answer) + rec("file", "cert found 0 644 root root 1 /server.crt\n"+pemText("CERTIFICATE", file.Raw)) +
		rec("served", "0\n"+pemText("CERTIFICATE", served.Raw)) + rec("end", "")
	h := &Host{Name: name, Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	h.View.Put(transport.Result{Key: KeyPostgres, Stdout: []byte(out)})
	f.Hosts[name] = h
	if clusters, err := Clusters(h); err != nil || len(clusters) != 1 || clusters[0].Problem != "" || len(clusters[0].Sessions) != len(sessions) {
		t.Fatalf("%v, %+v", err, clusters)
	}
	return h
}

// Who keeps the fleet from dropping an authority: who has a certificate of it in the file, who serves one though the file is new already, whose session began with one, and whoever
// was not seen.
func TestWhoNeedsAnAuthority(t *testing.T) {
	old, next := newTestCA(t, "old"), newTestCA(t, "new")
	leaf := func(ca *testCA) *x509.Certificate {
		return ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "db1"}}, &newKey(t).PublicKey)
	}
	by := []*x509.Certificate{old.cert}
	session := sessionRow{User: "dbuser1", Address: "10.0.0.7", TLS: true, Serial: "9", Issuer: "/O=\xc3\x9cber & Co, Ltd/CN=old"}
	f := &Fleet{Hosts: map[string]*Host{}, CA: testCAs{}}
	want := func(what string, profile pki.Profile, parts ...string) {
		t.Helper()
		f.Proofs = &Proofs{}
		asker := f.Hosts["db1"]
		got := strings.Join(asker.dependents(profile, by), "\n")
		if (got == "") != (len(parts) == 0) {
			t.Errorf("%s: needed by %q", what, got)
		}
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %q in %q", what, part, got)
			}
		}
	}
	runningServer(t, f, "db1", leaf(next), leaf(next))
	want("nobody has it", pki.ProfileServer)
	want("nobody is connected with it", pki.ProfileClient)
	runningServer(t, f, "db1", leaf(old), leaf(old))
	want("in the file", pki.ProfileServer, "db1 (cluster 15/main has a certificate of it)")
	runningServer(t, f, "db1", leaf(next), leaf(old))
	want("served, and not reloaded", pki.ProfileServer, "db1 (cluster 15/main has a certificate of it)")
	runningServer(t, f, "db1", leaf(next), leaf(next), session)
	want("connected with it", pki.ProfileClient, "db1 (open sessions that began with a certificate of it: dbuser1 from 10.0.0.7")
	runningServer(t, f, "db1", leaf(next), leaf(next))
	f.Hosts["db2"] = &Host{Name: "db2", Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	want("a server was not seen, which may serve it", pki.ProfileServer, "db2 (it was not seen by this run")
	want("a server was not seen, where somebody may be connected", pki.ProfileClient, "db2 (it was not seen by this run")

	// Which certificate a standby would stream with nobody can tell while it is stopped.
	f.Hosts["db2"].Roles = append(f.Hosts["db2"].Roles, "client")
	f.Hosts["db2"].Identities = []Identity{{OSUser: "postgres", DBUser: "replicator", Replication: true}}
	cluster := "data=/d\nconfig=/d/postgresql.conf\nbin=/usr/lib/postgresql/15/bin\nuser=postgres\ngroup=postgres\nstate=stopped\nmajor=15"
	f.Hosts["db2"].View.Put(transport.Result{Key: KeyPostgres, Stdout: fmt.Appendf(nil, "host 5\nnow=1\ncluster %d\n%s\nend 0\n\n", len(cluster), cluster)})
	want("a standby is stopped", pki.ProfileClient, "db2 (cluster", "is not running: if it is a standby")
	db2 := f.Hosts["db2"]
	for what, id := range map[string]Identity{"no identity for replication": {OSUser: "postgres"}, "another OS user's": {OSUser: "other", Replication: true}} {
		if db2.Identities = []Identity{id}; db2.stoppedStandby() != "" {
			t.Errorf("%s: what it streams with is said to be unknown", what)
		}
	}
	running := runningServer(t, f, "db3", leaf(next), leaf(next))
	if running.Identities = []Identity{{OSUser: "postgres", Replication: true}}; running.stoppedStandby() != "" {
		t.Error("a server that runs is said to be stopped")
	}
}

// A server that offers no TLS, or asks for no certificates, refuses none.
func TestServersThatAskForNoCertificate(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	leaf := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "db1"}}, &newKey(t).PublicKey)
	h := runningServer(t, &Fleet{Hosts: map[string]*Host{}}, "db1", leaf, leaf)
	clusters, err := Clusters(h)
	if err != nil {
		t.Fatal(err)
	}
	c := clusters[0]
	asks := func(what, ssl, file string, names []string, want int) {
		t.Helper()
		c.Settings["ssl"], c.Settings["ssl_ca_file"] = Setting{Value: ssl}, Setting{Value: file}
		c.Files["/ca.crt"], c.ServedCAs = HostFile{Bytes: pki.CertificatePEM(ca.cert)}, names
		if got, unknown := h.serverBeliefs(); len(got) != want || unknown != "" {
			t.Errorf("%s: %d clusters ask for certificates, want %d; %s", what, len(got), want, unknown)
		}
	}
	asks("no authority", "on", "", nil, 0)
	asks("no TLS", "off", "/ca.crt", nil, 0)
	asks("both", "on", "/ca.crt", authorityNames(c), 1)
}

// Who would not accept a certificate of the successor: who does not believe it, or has no list of it while lists are in use, or whose application was not told; and whoever was not seen.
func TestWhoWouldNotAccept(t *testing.T) {
	root := newTestCA(t, "root")
	key := newKey(t)
	sub := &testCA{name: "sub", key: key, cert: root.sign(t, &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "sub"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}, &key.PublicKey)}
	other := newTestCA(t, "other")
	chain := []*x509.Certificate{sub.cert, root.cert}
	both := []*x509.RevocationList{sub.crl(t, 1), root.list}
	for name, c := range map[string]struct {
		b    belief
		want string
	}{
		"believes it, without lists":  {belief{certs: chain}, ""},
		"believes it, with lists":     {belief{certs: chain, lists: both}, ""},
		"believes only what is below": {belief{certs: chain[:1]}, "does not believe root"},
		"believes another":            {belief{certs: []*x509.Certificate{other.cert}}, "does not believe root"},
		"one list is missing":         {belief{certs: chain, lists: both[1:]}, "has no list of revoked certificates of sub"},
		"lists of others":             {belief{certs: chain, lists: []*x509.RevocationList{other.list}}, "has no list of revoked certificates of"},
		"no list at all":              {belief{certs: chain, lists: []*x509.RevocationList{}}, "has no list of revoked certificates of"},
		"was not told":                {belief{certs: chain, untold: true}, "has an application that has not been told yet"},
	} {
		if got := c.b.lacks(chain); (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	f := &Fleet{Hosts: map[string]*Host{}, CA: testCAs{}, Proofs: &Proofs{}}
	app := &Host{Name: "app1", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: f}
	f.Hosts["app1"], f.Hosts["db1"] = app, &Host{Name: "db1", Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	if got := app.unbelieving(pki.ProfileClient, "sub", chain, false); len(got) != 1 || !strings.HasPrefix(got[0], "db1 (it was not seen by this run") {
		t.Errorf("a server that was not seen: %q", got)
	}
	if got := app.unbelieving(pki.ProfileClient, "sub", chain, true); len(got) != 0 {
		t.Errorf("what was not seen has a say: %q", got)
	}
}
