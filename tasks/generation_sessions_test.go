package tasks

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// Whose stream a session is, and whether ended it would come back with the certificate of before: the user, the address and the system have to be those of a standby, and its
// primary_conninfo to name the file that pgfleet replaces.
func TestStreamsOfStandbys(t *testing.T) {
	t.Parallel()
	const home = "/var/lib/postgresql"
	id := Identity{OSUser: "postgres", DBUser: "standby", Replication: true}
	f := &Fleet{Hosts: map[string]*Host{}}
	primary := seenServer(f, "db1.example.net", "10.0.0.1", "7", false, "")
	standby := func(conninfo string) (*Host, *Cluster) {
		t.Helper()
		h := seenServer(f, "db2.example.net", "10.0.0.2", "7", true, conninfo)
		h.Identities = []Identity{id}
		h.View.Put(transport.Result{Key: identityKey(id), Stdout: []byte("home\n|" + home + "\nentry absent " + home + "\ndone\n")})
		clusters, err := Clusters(h)
		if err != nil || len(clusters) != 1 {
			t.Fatal(clusters, err)
		}
		return h, clusters[0]
	}
	found, err := Clusters(primary)
	if err != nil {
		t.Fatal(err)
	}
	c := found[0]
	stream := Session{User: "standby", Database: "replication", Address: "10.0.0.2", Serial: "9", Issuer: "/CN=old"}
	ours := home + "/.postgresql/pgfleet/standby/" + replicationFile
	for file, another := range map[string]string{ours: "", "/etc/house.crt": "/etc/house.crt", "": "libpq's default file"} {
		h, of := standby("user=standby host=db1 sslcert='" + file + "'")
		if from, who := f.standbyOf(c, stream); from != h || who != of {
			t.Errorf("the stream is of %v", from)
		}
		if got, is := h.showsAnother(of); got != another || is != (another != "") {
			t.Errorf("%q: %q is not replaced: %v, want %q", file, got, is, another)
		}
	}
	h, of := standby("user=standby host=db1 sslcert=" + ours)
	for name, change := range map[string]func(*Session){
		"another user":  func(s *Session) { s.User = "report" },
		"from another":  func(s *Session) { s.Address = "10.0.0.3" },
		"from a socket": func(s *Session) { s.Address = "" },
	} {
		other := stream
		change(&other)
		if from, _ := f.standbyOf(c, other); from != nil {
			t.Errorf("%s: is the stream of %s", name, from.Name)
		}
	}
	elsewhere := *of
	elsewhere.Replication.System = "8"
	if c.isStreamOf(stream, h, &elsewhere) {
		t.Error("a standby of another system streams from it")
	}

	ca := newTestCA(t, "new")
	leaf := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(10), Subject: pkix.Name{CommonName: "standby"}}, &newKey(t).PublicKey)
	for name, s := range map[string]struct {
		sessions []Session
		current  *version
		want     bool
	}{
		"began with the old one":   {[]Session{stream}, &version{Chain: []*x509.Certificate{leaf}}, true},
		"began with the new one":   {[]Session{{User: "standby", Address: "10.0.0.2", Serial: "10", Issuer: "/O=Über & Co, Ltd/CN=new"}}, &version{Chain: []*x509.Certificate{leaf}}, false},
		"began with none":          {[]Session{{User: "standby", Address: "10.0.0.2"}}, &version{Chain: []*x509.Certificate{leaf}}, false},
		"somebody else's session":  {[]Session{{User: "report", Address: "10.0.0.2", Serial: "9", Issuer: "/CN=old"}}, &version{Chain: []*x509.Certificate{leaf}}, false},
		"no certificate is there":  {[]Session{stream}, nil, false},
		"nobody is connected here": {nil, &version{Chain: []*x509.Certificate{leaf}}, false},
	} {
		c.Sessions = s.sessions
		if got := h.streamsAsBefore(of, &identityState{ID: id, Current: s.current}); got != s.want {
			t.Errorf("%s: streams as before: %v", name, got)
		}
	}
}

// Whom a client believes by the copies under libpq's default names counts as well, while the identity has those; one whose services name nothing yet is not asked.
func TestBeliefsOfDefaultNames(t *testing.T) {
	t.Parallel()
	old, next := newTestCA(t, "old"), newTestCA(t, "next")
	const home, d = "/home/app", "/home/app/.postgresql/"
	f := &Fleet{Hosts: map[string]*Host{}, CA: testCAs{"old": old, "next": next}}
	db := &Host{Name: "db1", Roles: []string{"db_server"}, View: &View{}, Fleet: f}
	app := &Host{Name: "app1", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: f}
	f.Hosts["db1"], f.Hosts["app1"] = db, app
	roots := func(cas ...*testCA) (out string) {
		for _, ca := range cas {
			out += pemText("CERTIFICATE", ca.cert.Raw)
		}
		return out
	}
	service := "[dbuser1@db1]\nsslrootcert=" + d + "pgfleet/dbuser1/root.crt\n"
	for name, c := range map[string]struct {
		block, root, copy, lists string
		isDefault                bool
		want                     string
	}{
		"both know it":              {service, roots(old, next), roots(next), "", true, ""},
		"the copy does not":         {service, roots(old, next), roots(old), "", true, "does not believe next"},
		"the copy has an old list":  {service, roots(old, next), roots(old, next), pemText("X509 CRL", old.list.Raw), true, "has no list of revoked certificates of next"},
		"the copy has its list":     {service, roots(old, next), roots(old, next), pemText("X509 CRL", next.list.Raw), true, ""},
		"the copy is not pgfleet's": {service, roots(old, next), roots(old), "", false, ""},
		"its own file does not":     {service, roots(old), roots(next), "", true, "does not believe next"},
		"not set up yet":            {"", roots(old), roots(old), "", true, ""},
	} {
		id := Identity{OSUser: "app", DBUser: "dbuser1", Default: c.isDefault}
		app.Identities, app.View, f.Proofs = []Identity{id}, &View{}, &Proofs{}
		text := func(heading, body string) string {
			return heading + "\n" + strings.ReplaceAll("\n"+strings.TrimSuffix(body, "\n"), "\n", "\n|")[1:] + "\n"
		}
		look, metas := "uid 7\n"+text("home", home), ""
		for _, dir := range []string{home, d[:len(d)-1], d + "pgfleet", d + "pgfleet/dbuser1"} {
			look += "listed " + dir + "\n"
		}
		for path, body := range map[string]string{d + "root.crt": c.copy, d + "root.crl": c.lists, d + "pgfleet/dbuser1/root.crt": c.root} {
			if body != "" {
				look += "entry file " + path + "\n" + text("pem "+path, body)
				metas += fmt.Sprintf("meta app app 600 1 7 %d 1:1 %s\n", len(body), path)
			}
		}
		if c.block != "" {
			look += text("block", c.block)
		}
		app.View.Put(transport.Result{Key: identityKey(id), Stdout: []byte(look + metas + "done\n")})
		got := db.unbelieving(pki.ProfileServer, "next", []*x509.Certificate{next.cert}, false)
		if want := len(c.want) > 0; (len(got) == 1) != want || want && !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
