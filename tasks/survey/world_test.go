package survey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// now is the time of these tests.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// issuer is an authority of a test: certificate and key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, key crypto.Signer, tbs []byte, algorithm string) []byte {
	t.Helper()
	sig, err := crypto.SignMessage(key, rand.Reader, tbs, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.Assemble(tbs, algorithm, sig)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issue makes a certificate below by, or a root where by is nil.
func issue(t testing.TB, by *issuer, tmpl pki.Template, key crypto.Signer, at time.Time) *x509.Certificate {
	t.Helper()
	serial, err := pki.NewSerial(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ca *x509.Certificate
	var pub crypto.PublicKey
	signer := key
	if by != nil {
		ca, pub, signer = by.cert, by.key.Public(), by.key
	}
	tbs, algorithm, err := pki.TBS(tmpl, key.Public(), ca, pub, serial, at)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(sign(t, signer, tbs, algorithm))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t testing.TB, by *issuer, cn string, life time.Duration, at time.Time) *issuer {
	t.Helper()
	key, below := newKey(t), 1
	if by != nil {
		below = 0
	}
	return &issuer{issue(t, by, pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: cn}, ValidFor: life, MaxPathLen: below}, key, at), key}
}

func (i *issuer) list(t testing.TB, number int64, life time.Duration, at time.Time, revoked ...*x509.Certificate) *x509.RevocationList {
	t.Helper()
	var entries []pki.Revoked
	for _, c := range revoked {
		entries = append(entries, pki.Revoked{Serial: c.SerialNumber, At: at, Reason: 1, Expires: c.NotAfter})
	}
	ca := *i.cert
	if life > 0 {
		ca.NotAfter = at.Add(life) // lists end with their authority
	}
	tbs, algorithm, err := pki.CRLTBS(&ca, big.NewInt(number), entries, at)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(sign(t, i.key, tbs, algorithm))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// world is a small fleet where everything is as it should be: a root for clients, a root and an authority below it for servers; db1 and app1.
type world struct {
	t                     testing.TB
	clients, root, server *issuer
	serverKey, clientKey  crypto.Signer
	serverLeaf            *x509.Certificate
	clientLeaf            *x509.Certificate
	fleet                 *Fleet
}

func serverTemplate() pki.Template {
	return pki.Template{Profile: pki.ProfileServer, Subject: pkix.Name{CommonName: "db1"}, DNSNames: []string{"db1"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, ValidFor: year}
}

func clientTemplate() pki.Template {
	return pki.Template{Profile: pki.ProfileClient, Subject: pkix.Name{CommonName: "u"}, ValidFor: year}
}

const (
	serverDir = "/etc/pgfleet/15-main"
	clientDir = "/home/app/.postgresql/pgfleet/u"
)

func newWorld(t testing.TB) *world {
	w := &world{t: t, clients: newAuthority(t, nil, "clients", 10*year, now), root: newAuthority(t, nil, "servers root", 10*year, now), serverKey: newKey(t), clientKey: newKey(t)}
	w.server = newAuthority(t, w.root, "servers", 5*year, now)
	w.serverLeaf = issue(t, w.server, serverTemplate(), w.serverKey, now)
	w.clientLeaf = issue(t, w.clients, clientTemplate(), w.clientKey, now)
	authority := func(name, host string, i *issuer, chain ...*x509.Certificate) Authority {
		return Authority{Name: name, Host: host, Dir: "/ca/" + name, Subject: "CN=" + i.cert.Subject.CommonName, Root: len(chain) == 0, Cert: i.cert, Chain: chain,
			List: i.list(t, 1, 0, now), Seen: true, Public: i.key.Public()}
	}
	w.fleet = &Fleet{Now: now.Add(time.Hour), Hosts: map[string]bool{"ca1": true, "ca2": true, "db1": true, "app1": true},
		Authorities: []Authority{authority("clients", "ca1", w.clients), authority("root", "ca2", w.root), authority("servers", "ca2", w.server, w.root.cert)}}
	w.record(0, w.clientLeaf, "app1", pki.ProfileClient)
	w.record(1, w.server.cert, "ca2", pki.ProfileCA)
	w.record(2, w.serverLeaf, "db1", pki.ProfileServer)
	settings := map[string]string{"ssl_cert_file": serverDir + "/v/2/server.crt", "ssl_crl_file": serverDir + "/crl.pem"}
	s := Server{Host: "db1", Cluster: "15/main", Dir: serverDir, Names: []string{"db1", "10.0.0.1"}, OSUser: "postgres", OSGroup: "postgres", TLS: true,
		Seen: true, Served: []*x509.Certificate{w.serverLeaf, w.server.cert}, Asks: []string{sequence(w.clients.cert.RawSubject)}, Loaded: now,
		Settings: serverDir + "/pgfleet.conf", OurSettings: settings, ConfigFile: "/etc/postgresql/15/main/postgresql.conf",
		Config:  []byte("port = 5432\ninclude '" + serverDir + "/pgfleet.conf'\n"),
		HBAFile: "/etc/postgresql/15/main/pg_hba.conf", HBA: []byte("# BEGIN pgfleet\nhostssl all u 10.0.0.2/32 cert\n# END pgfleet\nlocal all all peer\n"),
		Noted: Rules{"cert", Digest([]string{"hostssl all u 10.0.0.2/32 cert"})}}
	s.Cert, s.Key = w.file(serverDir+"/v/2/server.crt", "root", 0o644), w.key(serverDir+"/v/2/server.key", "root", 0o640, w.serverKey)
	s.Cert.Certs = []*x509.Certificate{w.serverLeaf, w.server.cert}
	s.Trust, s.Lists = w.file(serverDir+"/trust.pem", "root", 0o644), w.file(serverDir+"/crl.pem", "root", 0o644)
	s.Trust.Certs, s.Lists.Lists = []*x509.Certificate{w.clients.cert}, []*x509.RevocationList{w.fleet.Authorities[0].List}
	s.InForce = map[string]string{"ssl_ca_file": s.Trust.Path, "ssl_crl_file": s.Lists.Path}
	w.fleet.Servers = []Server{s}
	c := Client{Host: "app1", OSUser: "app", DBUser: "u", Servers: []string{"db1"}, Home: "/home/app", ServiceFile: "/home/app/.pg_service.conf", Named: true}
	c.Cert, c.Key = w.file(clientDir+"/v/1/client.crt", "app", 0o600), w.key(clientDir+"/v/1/client.key", "app", 0o600, w.clientKey)
	c.Cert.Certs = []*x509.Certificate{w.clientLeaf}
	c.Trust = w.file(clientDir+"/root.crt", "app", 0o600)
	c.Trust.Certs = []*x509.Certificate{w.root.cert, w.server.cert}
	w.fleet.Clients = []Client{c}
	return w
}

func (w *world) file(path, owner string, mode uint32) File {
	return File{Path: path, Owner: owner, Group: "postgres", Mode: mode, ModTime: now.Add(-time.Hour)}
}

func (w *world) key(path, owner string, mode uint32, key crypto.Signer) Key {
	return Key{File: w.file(path, owner, mode), Public: key.Public()}
}

// record enters a certificate into the records of an authority.
func (w *world) record(authority int, c *x509.Certificate, host string, profile pki.Profile) {
	a := &w.fleet.Authorities[authority]
	a.Records = append(a.Records, Record{Serial: pki.FormatSerial(c.SerialNumber), Host: host, Profile: profile, Expires: c.NotAfter, Subject: "/CN=" + c.Subject.CommonName})
}

func (w *world) db() *Server           { return &w.fleet.Servers[0] }
func (w *world) app() *Client          { return &w.fleet.Clients[0] }
func (w *world) ca(i int) *Authority   { return &w.fleet.Authorities[i] }
func (w *world) later(d time.Duration) { w.fleet.Now = now.Add(d) }
