package tasks

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"maps"
	"math/big"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// lockedHost is a host with authorities in mode restricted, and the controller that was stolen.
type lockedHost struct {
	t     *testing.T
	sb    *transporttest.Sandbox
	host  *Host
	shell string
}

// shells are what /bin/sh can be on a host of authorities.
var shells = map[string]string{
	"dash": "ln -sf dash /bin/sh",
	"bash": "ln -sf bash /bin/sh",
	// All of busybox's tools, found before the others.
	"busybox": "busybox --install -s /usr/sbin && rm -f /usr/sbin/sh && ln -sf /bin/busybox /bin/sh",
}

// lockedAuthorities are a root that signs leaves, one above another authority, and that one.
func lockedAuthorities() map[string]pki.Authority {
	return map[string]pki.Authority{
		"clients": {Name: "clients", Host: "ca1", Subject: "CN=root-ca1", ValidFor: 10 * year, Profiles: []pki.Profile{pki.ProfileClient}, AllowedNames: []string{"app_*", "postgres", "rep*"},
			ReservedUsers: []string{"postgres", "replicator"}, MaxPerDay: 40},
		"top":     {Name: "top", Host: "ca1", Subject: "CN=top,O=Example", ValidFor: 10 * year, AllowedNames: []string{"*.example.net"}},
		"servers": {Name: "servers", Host: "ca1", Issuer: "top", Subject: "CN=servers,O=Example", ValidFor: 5 * year, Profiles: []pki.Profile{pki.ProfileServer}, AllowedNames: []string{"*.example.net", "10.88.*", "fd00::*", "db?.example.org", "?.example.org"}},
	}
}

// newLockedHost makes the authorities as root, installs the program and its policies, and leaves what a controller has.
func newLockedHost(t *testing.T, shell string, before ...func(l *lockedHost)) *lockedHost {
	t.Helper()
	return newLockedHostWith(t, shell, ":", lockedAuthorities(), before...)
}

func newLockedHostWith(t *testing.T, shell, prepare string, declared map[string]pki.Authority, before ...func(l *lockedHost)) *lockedHost {
	t.Helper()
	l := &lockedHost{t: t, shell: shell, sb: transporttest.NewSandbox(t), host: &Host{Name: "ca1", View: &View{}}}
	l.sb.Shell(prepare)
	l.host.Fleet = &Fleet{Now: time.Now(), Authorities: declared, Hosts: map[string]*Host{"ca1": l.host}}
	l.host.Fleet.CA = NewAuthorities(l.host.Fleet.Authorities, func(string) *View { return l.host.View },
		func(ctx context.Context, _ string, steps ...transport.Step) ([]transport.Result, error) {
			return l.sb.Do(ctx, steps...)
		}, time.Now)
	for _, do := range before {
		do(l)
	}
	l.must(&authorityTask{})
	l.sb.Shell(shells[shell])
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		l.must(&authorityProgramTask{Name: name, User: "root"})
		a := l.host.Fleet.Authorities[name]
		a.Mode = "restricted"
		l.host.Fleet.Authorities[name] = a
	}
	results, err := l.sb.Do(t.Context(), (&authorityTask{}).Needs(l.host)...)
	if err != nil {
		t.Fatal(err)
	}
	l.host.View.Put(results...)
	return l
}

// must does a task twice: the second time it changes nothing.
func (l *lockedHost) must(task Task) {
	l.t.Helper()
	for _, first := range []bool{true, false} {
		look := func(closing ...transport.Step) []transport.Result {
			results, err := l.sb.Do(context.Background(), append(closing, task.Needs(l.host)...)...)
			if err != nil {
				l.t.Fatal(err)
			}
			l.host.View.Put(results[min(len(closing), len(results)):]...)
			return results
		}
		look()
		change, err := task.Check(context.Background(), l.host)
		if err != nil || (change != nil) != first {
			l.t.Fatalf("%T: change %v, %v", task, change, err)
		}
		if change == nil {
			return
		}
		closing, err := change.Apply(context.Background(), l.sb)
		if err != nil {
			l.t.Fatal(err)
		}
		for i, r := range look(closing...) {
			if i < len(closing) && r.Err != nil {
				l.t.Fatalf("%s: %v", closing[i].Name(), r.Err)
			}
		}
	}
}

// call gives the program bytes, as anybody who may run it can.
func (l *lockedHost) call(stdin []byte, env []string, args ...string) (out, errs string, err error) {
	cmd := l.sb.Command(context.Background(), pki.RestrictedProgram, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(stdin), &stdout, &stderr, append([]string{"PATH=/usr/bin:/bin"}, env...)
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// ask sends requests to an authority and gives the answers.
func (l *lockedHost) ask(name string, requests ...caRequest) []caAnswer {
	l.t.Helper()
	results, err := l.sb.Do(context.Background(), caStep(l.host.Fleet.Authorities[name], time.Now(), requests...))
	if err != nil {
		l.t.Fatal(err)
	}
	reply, err := caResult(results[0])
	if err != nil {
		l.t.Fatalf("%v\n%s", err, results[0].Stderr)
	}
	return reply.Answers
}

// state is what the program says of an authority.
func (l *lockedHost) state(name string) *AuthorityState {
	l.t.Helper()
	results, err := l.sb.Do(context.Background(), AuthorityProbe(l.host.Fleet.Authorities[name]))
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := ParseAuthority(results[0])
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// log is an authority's log.
func (l *lockedHost) log(name string) string {
	return l.sb.ReadFile("/etc/pgfleet/ca/" + name + "/log")
}

// forged is a certificate's request as somebody writes it who is not held to templates. change edits certificate and fields.
func (l *lockedHost) forged(name string, issuer *x509.Certificate, change func(c *x509.Certificate), fields ...string) caRequest {
	l.t.Helper()
	_, pub := csr(l.t)
	return l.forgedFor(name, issuer, pub, change, fields...)
}

func (l *lockedHost) forgedFor(name string, issuer *x509.Certificate, pub crypto.PublicKey, change func(c *x509.Certificate), fields ...string) caRequest {
	l.t.Helper()
	serial, err := pki.NewSerial(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "app_1"}, NotBefore: time.Now().Add(-pki.Backdate), NotAfter: time.Now().Add(90 * 24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	change(c)
	tbs := l.tbs(c, issuer, pub)
	id, err := pki.KeyID(pub)
	if err != nil {
		l.t.Fatal(err)
	}
	values := map[string]string{"id": strings.Repeat("ab", 32), "serial": pki.FormatSerial(serial), "algorithm": "ecdsa-with-SHA256", "profile": "client", "host": "e", "key": id, "subject": "/CN=app_1", "fresh": "yes", "tbs": octal(tbs)}
	for i := 0; i+1 < len(fields); i += 2 {
		values[fields[i]] = fields[i+1]
	}
	var pairs []string
	for _, key := range []string{"id", "serial", "algorithm", "profile", "host", "key", "subject", "revoke", "fresh", "tbs"} {
		pairs = append(pairs, key, values[key])
	}
	return newCARequest("certificate", pairs...)
}

// tbs has the standard library make what is to be signed, with a key that is not the authority's.
func (l *lockedHost) tbs(c, issuer *x509.Certificate, pub crypto.PublicKey) []byte {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	parent := *issuer
	parent.PublicKey = key.Public()
	der, err := x509.CreateCertificate(rand.Reader, c, &parent, pub, key)
	if err != nil {
		l.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		l.t.Fatal(err)
	}
	return parsed.RawTBSCertificate
}

// list is a request for a list.
func (l *lockedHost) list(name string, number int64, change func(*x509.RevocationList)) caRequest {
	l.t.Helper()
	s := l.state(name)
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-pki.Backdate), NextUpdate: s.Certificate.NotAfter}
	for _, r := range s.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.At, ReasonCode: r.Reason})
	}
	change(list)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	parent := *s.Certificate
	parent.PublicKey = key.Public()
	der, err := x509.CreateRevocationList(rand.Reader, list, &parent, key)
	if err != nil {
		l.t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		l.t.Fatal(err)
	}
	return newCARequest("crl", "number", pki.FormatSerial(big.NewInt(number)), "algorithm", "ecdsa-with-SHA256", "tbs", octal(parsed.RawTBSRevocationList))
}

// The honest controller gets all that it needs from the program, with every shell.
func TestRestricted(t *testing.T) {
	t.Parallel()
	for shell := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell); err != nil {
				transporttest.Unable(t, err.Error())
			}
			l := newLockedHost(t, shell)
			t.Run("serves", l.serves)
			if shell == "bash" { // the other two know less
				t.Run("refuses calls", func(t *testing.T) { l.t = t; l.refusesCalls(t) })
				return
			}
			t.Run("refuses", l.refuses)
			t.Run("buries", l.buries)
		})
	}
}

func (l *lockedHost) serves(t *testing.T) {
	l.t = t
	for _, c := range []struct {
		authority string
		template  pki.Template
	}{
		{"clients", client("app_1")},
		{"top", server("db1.example.net")},
		{"servers", pki.Template{Profile: pki.ProfileServer, Subject: pkix.Name{CommonName: "db1.example.net"}, DNSNames: []string{"db1.example.net", "db.example.net"},
			IPAddresses: []net.IP{net.ParseIP("10.88.0.1").To4(), net.ParseIP("fd00::1:0:0:2")}, ValidFor: year}},
	} {
		request, _ := csr(t)
		cert, err := l.host.Fleet.CA.Issue(t.Context(), c.authority, IssueRequest{CSR: request, Template: c.template, Host: "e"})
		if err == nil {
			var up *x509.Certificate
			if up, err = l.host.Fleet.CA.Certificate(c.authority); err == nil {
				err = cert.CheckSignatureFrom(up)
			}
		}
		if err == nil {
			s := l.state(c.authority)
			if a := l.ask(c.authority, newCARequest("revoke", "serial", pki.FormatSerial(cert.SerialNumber), "reason", "keyCompromise")); a[0].Refused != "" {
				t.Errorf("revoke: %s", a[0].Refused)
			}
			if a := l.ask(c.authority, l.list(c.authority, s.NextNumber.Int64(), func(*x509.RevocationList) {})); a[0].Refused != "" {
				t.Errorf("list: %s", a[0].Refused)
			}
			list := l.state(c.authority).CRL
			if list == nil || !pki.Lists(list, cert.SerialNumber) {
				t.Errorf("the new list does not name what was revoked")
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", c.authority, err)
		}
	}
	for _, key := range l.otherKeys() {
		up := l.state("clients").Certificate
		if a := l.ask("clients", l.forgedFor("clients", up, key, func(*x509.Certificate) {})); a[0].Refused != "" {
			t.Errorf("%T: %s", key, a[0].Refused)
		}
	}
	if log := l.log("clients"); !strings.Contains(log, "/CN=app_1") || !strings.Contains(log, "is revoked (keyCompromise)") || !strings.Contains(log, "list 02") {
		t.Errorf("the log does not tell what was signed:\n%s", log)
	}
	l.renews(t)
	if w := l.host.Fleet.CA.(*CA).Warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

// renews has an authority below a root renewed from its own key; the task needs nothing more.
func (l *lockedHost) renews(t *testing.T) {
	renew := &authorityTask{Name: "servers", Force: true}
	results, err := l.sb.Do(t.Context(), renew.Needs(l.host)...)
	if err != nil {
		t.Fatal(err)
	}
	l.host.View.Put(results...)
	before := l.state("servers").Certificate
	change, err := renew.Check(t.Context(), l.host)
	if err != nil || change == nil {
		t.Fatalf("renew: %v, %v", change, err)
	}
	closing, err := change.Apply(t.Context(), l.sb)
	if err != nil {
		t.Fatal(err)
	}
	if results, err = l.sb.Do(t.Context(), closing...); err != nil || change.Then(results) != nil {
		t.Fatal(err, change.Then(results))
	}
	if now := l.state("servers").Certificate; now.Equal(before) || !pki.SameKey(now.PublicKey, before.PublicKey) {
		t.Error("the authority was not renewed")
	}
}

// buries: an authority that was revoked for its key is not brought back by a certificate for the same key, whoever asks.
func (l *lockedHost) buries(t *testing.T) {
	l.t = t
	top, servers := l.state("top"), l.state("servers")
	if a := l.ask("top", newCARequest("revoke", "serial", pki.FormatSerial(servers.Certificate.SerialNumber), "reason", "CACompromise")); a[0].Refused != "" {
		t.Fatal(a[0].Refused)
	}
	again := l.forgedFor("top", top.Certificate, servers.Certificate.PublicKey, func(c *x509.Certificate) {
		c.IsCA, c.MaxPathLen, c.MaxPathLenZero, c.KeyUsage, c.ExtKeyUsage = true, 0, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
		c.Subject = pkix.Name{CommonName: "servers", Organization: []string{"Example"}}
	}, "host", "ca1")
	want := "certificate " + pki.FormatSerial(servers.Certificate.SerialNumber) + " was revoked (CACompromise), and it is that of an authority with this key"
	if a := l.ask("top", again); !strings.Contains(a[0].Refused, want) {
		t.Errorf("%q, want %q", a[0].Refused, want)
	}
}

func (l *lockedHost) otherKeys() []crypto.PublicKey {
	l.t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		l.t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	return []crypto.PublicKey{r.Public(), e.Public()}
}

// refuses plays the stolen controller: it may run the program, and has all that pgfleet knows.
func (l *lockedHost) refuses(t *testing.T) {
	l.t = t
	clients, top, servers := l.state("clients"), l.state("top"), l.state("servers")
	up := clients.Certificate
	leaf := func(change func(*x509.Certificate), fields ...string) caRequest {
		return l.forged("clients", up, change, fields...)
	}
	declared := pkix.Name{CommonName: "servers", Organization: []string{"Example"}}
	asCA := func(c *x509.Certificate) {
		c.IsCA, c.MaxPathLen, c.MaxPathLenZero, c.KeyUsage, c.ExtKeyUsage = true, 0, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	as := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName = name }
	}
	longer := func(bytes string) caRequest {
		r := leaf(func(*x509.Certificate) {})
		r.fields[len(r.fields)-1] += bytes
		return r
	}
	ext := func(oid asn1.ObjectIdentifier, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Value: value})
		}
	}
	number := clients.NextNumber.Int64()
	same := func(*x509.RevocationList) {}
	const records = "find /etc/pgfleet/ca/*/issued /etc/pgfleet/ca/*/revoked /etc/pgfleet/ca/*/certs -type f | sort | xargs cksum"
	before := l.sb.Shell(records)
	shiftList := func(change func(*x509.RevocationList)) caRequest { return l.list("clients", number, change) }
	for _, c := range []struct {
		name, authority string
		request         caRequest
		want            string
	}{
		{"a sub-CA", "clients", leaf(asCA), "the policy names no such one"},
		{"a sub-CA below one that is no root", "servers", l.forged("servers", servers.Certificate, asCA), "only a root may sign one"},
		{"a sub-CA as the declared one, with a key of its own", "top", l.forged("top", top.Certificate, func(c *x509.Certificate) { asCA(c); c.Subject = declared }), "authority /O=Example/CN=servers has another key"},
		{"a sub-CA as the declared one, its subject in another order", "top", l.forged("top", top.Certificate, func(c *x509.Certificate) {
			asCA(c)
			c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "servers"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Example"}}}
		}), "in another order"},
		{"a sub-CA as the declared one, with a longer path", "top", l.forged("top", top.Certificate, func(c *x509.Certificate) { asCA(c); c.Subject = declared; c.MaxPathLen = 1 }), "longer path"},
		{"a sub-CA as the declared one, for ten years", "top", l.forged("top", top.Certificate, func(c *x509.Certificate) {
			asCA(c)
			c.Subject = declared
			c.NotAfter = top.Certificate.NotAfter
		}), "longer than the 1825 days"},
		{"a sub-CA that may also be a client", "top", l.forged("top", top.Certificate, func(c *x509.Certificate) {
			asCA(c)
			c.Subject = declared
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), "uses or names"},
		{"keyCertSign without CA", "clients", leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), "more than signatures"},
		{"no basicConstraints", "clients", leaf(func(c *x509.Certificate) { c.BasicConstraintsValid = false }), "left open"},
		{"CN=postgres", "clients", leaf(as("postgres"), "subject", "/CN=app_1"), `user "postgres" is reserved`},
		{"CN=Postgres", "clients", leaf(as("Postgres")), `name "Postgres" is not allowed`},
		{"CN=replicator", "clients", leaf(as("replicator")), `user "replicator" is reserved`},
		{"CN=repLICAtor", "clients", leaf(as("repLICAtor")), `user "repLICAtor" is reserved`},
		{"a name outside", "clients", leaf(as("mallory")), `name "mallory" is not allowed`},
		{"a name with a line feed", "clients", leaf(as("app_1\npostgres")), "control character"},
		{"a name with shell in it", "clients", leaf(as("$(touch /tmp/owned)`touch /tmp/owned`")), "is not allowed"},
		{"a name like a pattern", "clients", leaf(as("*")), `name "*" is not allowed`},
		{"two names", "clients", leaf(func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "postgres"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "app_1"}}
		}), "two CN"},
		{"an organisation besides", "clients", leaf(func(c *x509.Certificate) { c.Subject.Organization = []string{"x"} }), "more than a common name"},
		{"an attribute that nobody knows", "clients", leaf(func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "postgres"}}
		}), "not one of CN"},
		{"ten years", "clients", leaf(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(9, 11, 0) }), "longer than the 398 days"},
		{"longer than the authority", "clients", leaf(func(c *x509.Certificate) { c.NotAfter = up.NotAfter.Add(time.Hour) }), "longer than"},
		{"of last year", "clients", leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().AddDate(-1, 0, 0) }), "another time than now"},
		{"of next year", "clients", leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().AddDate(0, 2, 0) }), "another time than now"},
		{"wrong use", "clients", leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "certificates for a server are not allowed"},
		{"wrong use on the other", "servers", l.forged("servers", servers.Certificate, as("db1.example.net")), "certificates for a client are not allowed"},
		{"both uses", "clients", leaf(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }), "neither for a server nor for a client"},
		{"any use", "clients", leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "neither for a server nor for a client"},
		{"no use named", "clients", leaf(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "neither for a server nor for a client"},
		{"a client with host names", "clients", leaf(func(c *x509.Certificate) { c.DNSNames = []string{"app_1"} }), "no other names"},
		{"a server of another domain", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"db1.example.net", "bank.example.com"}
		}), `name "bank.example.com" is not allowed`},
		{"a server for all names of a domain, where one character is allowed", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.org")(c)
			c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"db1.example.org", "*.example.org"}
		}), `name "*.example.org" is not allowed`},
		{"an address written as that of the other kind", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			ext(asn1.ObjectIdentifier{2, 5, 29, 17}, append([]byte{0x30, 18, 0x87, 16}, net.ParseIP("10.88.0.1").To16()...)...)(c)
		}), `name "::ffff:a58:1" is not allowed`},
		{"a server with more names than anybody has", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, slices.Repeat([]string{"db1.example.net"}, 4000)
		}), "too long"},
		{"a server's foreign address", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage, c.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{net.ParseIP("192.0.2.1").To4()}
		}), `name "192.0.2.1" is not allowed`},
		{"a server's foreign IPv6 address", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage, c.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{net.ParseIP("2001:db8:0:1::5")}
		}), `name "2001:db8:0:1::5" is not allowed`},
		{"a name that is an e-mail address", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage, c.EmailAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []string{"x@example.net"}
		}), "neither a host name nor an address"},
		{"a host name with a zero byte", "servers", l.forged("servers", servers.Certificate, func(c *x509.Certificate) {
			as("db1.example.net")(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			ext(asn1.ObjectIdentifier{2, 5, 29, 17}, append([]byte{0x30, 18, 0x82, 16, 'b', 'a', 'd', 0}, ".example.net"...)...)(c)
		}), "not a host name"},
		{"another issuer", "clients", l.forged("clients", servers.Certificate, func(*x509.Certificate) {}), "another issuer"},
		{"another key identifier", "clients", leaf(func(c *x509.Certificate) {
			ext(asn1.ObjectIdentifier{2, 5, 29, 35}, append([]byte{0x30, 0x16, 0x80, 0x14}, make([]byte, 20)...)...)(c)
		}), "authorityKeyIdentifier"},
		{"an extension that nobody asked for", "clients", leaf(ext(asn1.ObjectIdentifier{1, 2, 3, 4}, 0x30, 0)), "extension that is not allowed (2a0304)"},
		{"the authority's own key", "clients", l.forgedFor("clients", up, up.PublicKey, func(*x509.Certificate) {}), "for the key of this authority"},
		{"a weak key", "clients", l.forgedFor("clients", up, weak.Public(), func(*x509.Certificate) {}), "less than 2048 bits"},
		{"another serial number than said", "clients", leaf(func(*x509.Certificate) {}, "serial", "0A0B0C0D"), "another serial number"},
		{"another algorithm than said", "clients", leaf(func(*x509.Certificate) {}, "algorithm", "ecdsa-with-SHA384"), "another signature algorithm"},
		{"another key than said", "clients", leaf(func(*x509.Certificate) {}, "key", strings.Repeat("ab", 32)), "broken request"},
		{"no key said", "clients", leaf(func(*x509.Certificate) {}, "key", ""), "broken request"},
		{"bytes that two read differently", "clients", leaf(func(*x509.Certificate) {}, "tbs", octal([]byte("0"))+`\1\1`), "not written in bytes"},
		{"bytes that are none", "clients", leaf(func(*x509.Certificate) {}, "tbs", `\400\777`), "not written in bytes"},
		{"bytes with shell in them", "clients", leaf(func(*x509.Certificate) {}, "tbs", "$(touch /tmp/owned)%s%n"), "broken request"},
		{"a canary's place", "clients", leaf(func(*x509.Certificate) {}, "id", "canary-good"), "broken request"},
		{"revoked at once", "clients", leaf(func(*x509.Certificate) {}, "revoke", "yes"), "broken request"},
		{"something after its end", "clients", longer(`\060\000`), "after its end"},
		{"a list as certificate", "clients", leaf(func(*x509.Certificate) {}, "tbs", octal(clients.CRL.RawTBSRevocationList)), "is not of version 3"},
		{"no certificate", "clients", leaf(func(*x509.Certificate) {}, "tbs", octal([]byte("x"))), "is cut"},
		{"a serial number with shell in it", "clients", leaf(func(*x509.Certificate) {}, "serial", "$(touch /tmp/owned)"), "broken request"},
		{"a host with shell in it", "clients", leaf(func(*x509.Certificate) {}, "host", "`touch /tmp/owned`;touch /tmp/owned"), "broken request"},
		{"a root of its own", "clients", newCARequest("root", "serial", "0A", "algorithm", "ecdsa-with-SHA256", "fresh", "yes", "tbs", octal(l.tbs(&x509.Certificate{SerialNumber: big.NewInt(10), Subject: pkix.Name{CommonName: "mine"}}, up, up.PublicKey))), "needs root on this host"},
		{"a chain of its own", "servers", newCARequest("install", "certificate", octal(pki.CertificatePEM(servers.Certificate)), "chain", octal(pki.CertificatePEM(top.Certificate, clients.Certificate))), "another chain"},
		{"an emptied list", "clients", shiftList(func(r *x509.RevocationList) { r.RevokedCertificateEntries = nil }), "lacks the revoked certificate"},
		{"a lowered number", "clients", l.list("clients", 1, same), "is below"},
		{"a number that leaves none", "clients", l.list("clients", 1<<40, same), "far above"},
		{"another number than said", "clients", func() caRequest {
			r := shiftList(same)
			r.fields[0] = "number " + pki.FormatSerial(big.NewInt(number+1))
			return r
		}(), "another number"},
		{"a list that ends tomorrow", "clients", shiftList(func(r *x509.RevocationList) { r.NextUpdate = time.Now().AddDate(0, 0, 1) }), "would end sooner"},
		{"a list of next year", "clients", shiftList(func(r *x509.RevocationList) { r.ThisUpdate = time.Now().AddDate(1, 0, 0) }), "another time than now"},
		{"a list that outlives its authority", "clients", shiftList(func(r *x509.RevocationList) { r.NextUpdate = up.NotAfter.Add(time.Hour) }), "later than this authority"},
		{"a list that servers do not understand", "clients", func() caRequest {
			r := shiftList(same)
			var list pkix.TBSCertificateList //nolint:staticcheck // what is to be signed is built by hand here
			if _, err := asn1.Unmarshal(clients.CRL.RawTBSRevocationList, &list); err != nil {
				t.Fatal(err)
			}
			list.Raw, list.Extensions[1].Critical = nil, true
			tbs, err := asn1.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			r.fields[len(r.fields)-1] = "tbs " + octal(tbs)
			return r
		}(), "critical"},
		{"a list that speaks for another", "clients", shiftList(func(r *x509.RevocationList) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x84, 1, 0xff}}}
		}), "not allowed (551d1c)"},
		{"a list that takes revocations back", "clients", shiftList(func(r *x509.RevocationList) {
			for i := range r.RevokedCertificateEntries {
				r.RevokedCertificateEntries[i].ReasonCode = 8
			}
		}), "more than a reason"},
		{"a list that names what was not revoked", "clients", shiftList(func(r *x509.RevocationList) {
			r.RevokedCertificateEntries = append(r.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(77), RevocationTime: time.Now()})
		}), "not on record as revoked"},
		{"a certificate as list", "clients", newCARequest("crl", "number", pki.FormatSerial(clients.NextNumber), "algorithm", "ecdsa-with-SHA256", "tbs", octal(up.RawTBSCertificate)), "is not of version 2"},
		{"somebody else's certificate", "clients", newCARequest("revoke", "serial", "0A0B"), "has not issued"},
		{"a file by its name", "clients", newCARequest("fetch", "serial", "../keys/ca.key"), "has not issued"},
	} {
		answers := l.ask(c.authority, c.request)
		if len(answers) != 1 || !strings.Contains(answers[0].Refused, c.want) {
			t.Errorf("%s: %q, wanted %q", c.name, answers, c.want)
		}
		if log := l.sb.Shell("tail -n 1 /etc/pgfleet/ca/" + c.authority + "/log"); !strings.Contains(log, " warning root: authority "+c.authority+": refused: "+c.request.verb) || !strings.Contains(log, c.want) {
			t.Errorf("%s is not logged:\n%s", c.name, log)
		}
	}
	if after := l.sb.Shell(records); after != before {
		t.Errorf("records are now\n%s\nbefore:\n%s", after, before)
	}
	if got := l.state("clients"); !bytes.Equal(got.CRL.Raw, clients.CRL.Raw) {
		t.Error("the list has changed")
	}
	// What was taken over from index.txt after the records were lost does not tell the key of the authority below, and lets no other one in.
	l.sb.Shell(`cd /etc/pgfleet/ca/top && cp -a issued /root/issued && for f in $(grep -l '^subject /O=Example/CN=servers$' issued/*); do
		sed -n -e '/^pgfleet/p' -e '/^serial/p' -e 's/^profile ca$/profile imported/p' -e '/^subject/p' -e '/^expires/p' /root/$f >$f; done`)
	another := l.ask("top", l.forged("top", top.Certificate, func(c *x509.Certificate) { asCA(c); c.Subject = declared }))
	if len(another) != 1 || !strings.Contains(another[0].Refused, "pgfleet authority restore --records top") {
		t.Errorf("another key for an authority of which index.txt alone tells: %q", another)
	}
	l.sb.Shell("cd /etc/pgfleet/ca/top && rm -r issued && mv /root/issued issued")
	l.refusesCalls(t)
	// Last, since nothing is signed after it. One call is a day's number, too.
	many := make([]caRequest, 41)
	for i := range many {
		many[i] = leaf(func(*x509.Certificate) {})
	}
	signed := 0
	for _, a := range l.ask("clients", many...) {
		if a.Refused == "" {
			signed++
		} else if !strings.Contains(a.Refused, "more than 40 certificates within a day") {
			t.Errorf("one of many: %s", a.Refused)
		}
	}
	// Issued before: two test certificates, and three by serves.
	if signed != 40-2-3 {
		t.Errorf("%d certificates more were signed", signed)
	}
	l.sb.Shell("[ ! -e /tmp/owned ]")
}

// refusesCalls is about everything but requests.
func (l *lockedHost) refusesCalls(t *testing.T) {
	status := "pgfleet-ca 1 0\nrequest status\nend\n"
	ok := []byte("authority clients\n" + status)
	key := strings.TrimSpace(l.sb.ReadFile("/etc/pgfleet/ca/clients/keys/ca.key"))
	l.sb.WriteFile("/tmp/mine/openssl", "#!/bin/sh\ntouch /tmp/owned\n", 0o755)
	l.sb.WriteFile("/tmp/mine/env.sh", "touch /tmp/owned\n", 0o755)
	l.sb.WriteFile("/tmp/mine/openssl.cnf", "openssl_conf = x\n", 0o644)
	if out, errs, err := l.call([]byte("ping\n"), nil); err != nil || !strings.HasPrefix(out, "OpenSSL ") {
		t.Errorf("ping: %v %s %s", err, out, errs)
	}
	for _, c := range []struct {
		name      string
		stdin     []byte
		env, args []string
		want      string // "" for an answer
	}{
		{"a status", ok, nil, nil, ""},
		{"nothing", nil, nil, nil, "nothing was asked"},
		{"a shell's input", []byte("id\ncat /etc/pgfleet/ca/clients/keys/ca.key\n"), nil, nil, "spoken to by pgfleet alone"},
		{"SFTP's first packet", []byte("\x00\x00\x00\x05\x01\x00\x00\x00\x03"), nil, nil, "spoken to by pgfleet alone"},
		{"a line without end", bytes.Repeat([]byte("x"), 100000), nil, nil, "spoken to by pgfleet alone"},
		{"an authority that is not there", []byte("authority other\n" + status), nil, nil, "no policy for an authority other"},
		{"an authority elsewhere", []byte("authority ../ca/clients/keys\n" + status), nil, nil, "make its name"},
		{"an authority with shell in it", []byte("authority $(touch /tmp/owned)\n" + status), nil, nil, "make its name"},
		{"an unknown verb", []byte("authority clients\npgfleet-ca 1 0\nrequest key\nend\n"), nil, nil, "does not know the request"},
		{"an unknown field", []byte("authority clients\npgfleet-ca 1 0\nrequest status\nfile keys/ca.key\nend\n"), nil, nil, "does not know the field"},
		{"a cut request", ok[:len(ok)-5], nil, nil, "end in the middle"},
		{"another version", []byte("authority clients\npgfleet-ca 2 0\n"), nil, nil, "version 1"},
		{"arguments", ok, nil, []string{"/etc/pgfleet/ca/clients"}, "something else was asked for"},
		{"arguments with shell in them", ok, nil, []string{"$(touch /tmp/owned)", ";", "touch /tmp/owned"}, "something else was asked for"},
		{"another command", ok, []string{"SSH_ORIGINAL_COMMAND=cat /etc/pgfleet/ca/clients/keys/ca.key"}, nil, "something else was asked for"},
		{"SFTP", ok, []string{"SSH_ORIGINAL_COMMAND=internal-sftp"}, nil, "something else was asked for"},
		{"a path to other programs", ok, []string{"PATH=/tmp/mine"}, nil, ""},
		{"a start-up file", ok, []string{"ENV=/tmp/mine/env.sh", "BASH_ENV=/tmp/mine/env.sh", "IFS=a"}, nil, ""},
		{"another user", ok, []string{"PGFLEET_UID=4711"}, nil, ""},
		{"another policy", ok, []string{"policy=", "dir=/tmp", "OPENSSL_CONF=/tmp/mine/openssl.cnf", "SSL_CERT_FILE=/tmp/x", "TMPDIR=/tmp/mine"}, nil, ""},
	} {
		out, errs, err := l.call(c.stdin, c.env, c.args...)
		switch {
		case c.want == "" && (err != nil || !strings.Contains(out, "\nanswer status ok\n")):
			t.Errorf("%s: %v %s %s", c.name, err, out, errs)
		case c.want != "" && (err == nil || !strings.Contains(errs, c.want)):
			t.Errorf("%s: %v %s %s, wanted %q", c.name, err, out, errs, c.want)
		}
		if strings.Contains(out+errs, key) || strings.Contains(out+errs, "PRIVATE KEY") {
			t.Errorf("%s: the key came out", c.name)
		}
		if c.want != "" {
			log := l.sb.Shell("tail -qn 1 /var/log/pgfleet-ca.log /etc/pgfleet/ca/clients/log 2>/dev/null | cat -v")
			if !strings.Contains(log, c.want) {
				t.Errorf("%s is not logged:\n%s", c.name, log)
			}
		}
	}
	// Of files that are named nothing comes out, and a passphrase is not guessed unseen.
	for _, c := range []struct{ field, answer, log string }{
		{"passphrase-file " + octal([]byte("/root/nothing")), "does not name that file with a passphrase", "does not name that file with a passphrase"},
		{"passphrase-file " + octal([]byte("/etc/passwd")), "does not name that file with a passphrase", "does not name that file with a passphrase"},
		{"passphrase-file " + octal([]byte("/etc/pgfleet/ca/clients/keys/ca.key")), "does not name that file with a passphrase", "does not name that file with a passphrase"},
		{"passphrase " + octal([]byte("guessed")), "keys/ca.key has no passphrase", "keys/ca.key has no passphrase"},
	} {
		out, _, err := l.call([]byte("authority clients\npgfleet-ca 1 0\nrequest status\n"+c.field+"\nend\n"), nil)
		log := l.sb.Shell("tail -n 1 /etc/pgfleet/ca/clients/log")
		if err != nil || !strings.Contains(out, "\nanswer unlock refused\nreason ") || !strings.Contains(out, c.answer) || !strings.Contains(log, "refused: ") || !strings.Contains(log, c.log) {
			t.Errorf("%s: %v %s, logged %s", c.field, err, out, log)
		}
	}
	// Where a caller says who he is, room is left for what he asks.
	if _, _, err := l.call([]byte("authority clients\npgfleet-ca 1 0\nrequest key\nend\n"), []string{"SSH_CLIENT=" + strings.Repeat("x", 500)}); err == nil {
		t.Error("an unknown verb is answered")
	}
	if log := l.sb.Shell("tail -n 1 /etc/pgfleet/ca/clients/log"); !strings.Contains(log, "refused: this ca.sh does not know the request") {
		t.Errorf("a long address hides what was asked: %s", log)
	}
	// Who has looked first waits like everybody before anything is changed.
	held := make(chan string)
	go func() {
		held <- l.sb.Shell("cd /etc/pgfleet/ca/clients && flock -s lock sh -c 'touch /tmp/held; for i in 1 2 3; do sleep 1; ls revoked; done'")
	}()
	l.sb.Shell("until [ -e /tmp/held ]; do sleep 0.1; done; rm /tmp/held")
	serial := strings.TrimSpace(l.sb.Shell("cd /etc/pgfleet/ca/clients/issued && for i in *; do [ -e ../revoked/$i ] || { echo $i; break; }; done"))
	if a := l.ask("clients", newCARequest("status"), newCARequest("revoke", "serial", serial, "reason", "superseded")); len(a) != 2 || a[1].Refused != "" {
		t.Errorf("status and revoke: %+v", a)
	}
	if seen := <-held; strings.Contains(seen, serial) {
		t.Error("a call that began by looking changes records while others hold the lock")
	}
	// What can be changed by others than root is not believed.
	for _, c := range []struct{ spoil, mend, want string }{
		{"chmod 0666 /etc/pgfleet/policy/clients", "chmod 0600 /etc/pgfleet/policy/clients", "can be changed by others"},
		{"chown daemon /etc/pgfleet/policy/clients", "chown root /etc/pgfleet/policy/clients", "does not belong to root"},
		{"chmod 0777 /etc/pgfleet/policy", "chmod 0755 /etc/pgfleet/policy", "can be changed by others"},
		{"cd /etc/pgfleet/policy; mv clients x; ln -s x clients", "cd /etc/pgfleet/policy; mv x clients", "is a link"},
		{"echo 'anything yes' >>/etc/pgfleet/policy/clients", "sed -i '$d' /etc/pgfleet/policy/clients", "key anything is not known"},
		{"echo 'reserved dba # not for applications' >>/etc/pgfleet/policy/clients", "sed -i '$d' /etc/pgfleet/policy/clients", "a comment has a line of its own"},
		{"sed -i 's/^reserved.*/&\r/' /etc/pgfleet/policy/clients", "sed -i 's/\r//' /etc/pgfleet/policy/clients", "carriage return"},
		{"echo 'life a[$(touch /tmp/owned)]' >>/etc/pgfleet/policy/clients", "sed -i '$d' /etc/pgfleet/policy/clients", "life wants a number"},
	} {
		l.sb.Shell(c.spoil)
		if out, errs, err := l.call(ok, nil); err == nil || !strings.Contains(errs, c.want) {
			t.Errorf("%s: %v %s %s", c.spoil, err, out, errs)
		}
		l.sb.Shell(c.mend)
	}
	if out, errs, err := l.call(ok, nil); err != nil {
		t.Errorf("in the end: %v %s %s", err, out, errs)
	}
	if l.shell != "dash" {
		return
	}
	// More than it reads.
	big := append([]byte("authority clients\npgfleet-ca 1 0\nrequest certificate\ntbs "), bytes.Repeat([]byte(`\000`), 1<<20+1000)...)
	if _, errs, err := l.call(big, nil); err == nil || !strings.Contains(errs, "end in the middle") {
		t.Errorf("a request of %d bytes: %v %s", len(big), err, errs)
	}
}
