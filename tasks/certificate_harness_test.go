package tasks

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// goCA is a set of authorities with keys in this process; what they do for a request is what the real ones do.
type goCA struct {
	mu      sync.Mutex
	now     time.Time
	issuers map[string]string
	certs   map[string]*x509.Certificate
	keys    map[string]crypto.Signer
	lists   map[string]*x509.RevocationList
	serial  int64
	// given by authority, key, template: repeated requests get the same answer.
	given  map[string]*x509.Certificate
	issued []*x509.Certificate
}

func newGoCA(t *testing.T, now time.Time, authorities map[string]pki.Authority) *goCA {
	ca := &goCA{now: now, issuers: map[string]string{}, certs: map[string]*x509.Certificate{}, keys: map[string]crypto.Signer{},
		lists: map[string]*x509.RevocationList{}, given: map[string]*x509.Certificate{}}
	for done := 0; done < len(authorities); {
		before := done
		for name, a := range authorities {
			if ca.certs[name] != nil || a.Issuer != "" && ca.certs[a.Issuer] == nil {
				continue
			}
			ca.add(t, name, a)
			done++
		}
		if before == done {
			t.Fatal("authorities in a circle")
		}
	}
	return ca
}

func (ca *goCA) add(t *testing.T, name string, a pki.Authority) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseSubject(a.Subject)
	if err != nil {
		t.Fatal(err)
	}
	ca.serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial), Subject: subject, NotBefore: ca.now.Add(-time.Hour), NotAfter: ca.now.Add(3650 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	parent, signer := tmpl, crypto.Signer(key)
	if a.Issuer != "" {
		parent, signer = ca.certs[a.Issuer], ca.keys[a.Issuer]
	}
	ca.certs[name], ca.keys[name], ca.issuers[name] = ca.sign(t, tmpl, parent, key.Public(), signer), key, a.Issuer
	ca.publish(t, name, 1)
}

func (ca *goCA) sign(t *testing.T, tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// publish makes a list with a number and revoked certificates.
func (ca *goCA) publish(t *testing.T, name string, number int64, revoked ...x509.RevocationListEntry) {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: ca.now.Add(-time.Hour),
		NextUpdate: ca.now.Add(365 * 24 * time.Hour), RevokedCertificateEntries: revoked}, ca.certs[name], ca.keys[name])
	if err != nil {
		t.Fatal(err)
	}
	if ca.lists[name], err = x509.ParseRevocationList(der); err != nil {
		t.Fatal(err)
	}
}

func (ca *goCA) Certificate(name string) (*x509.Certificate, error) {
	if c := ca.certs[name]; c != nil {
		return c, nil
	}
	return nil, ErrPending
}

func (ca *goCA) Chain(name string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for ; name != ""; name = ca.issuers[name] {
		c, err := ca.Certificate(name)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (ca *goCA) CRL(name string) (*x509.RevocationList, error) {
	if l := ca.lists[name]; l != nil {
		return l, nil
	}
	return nil, ErrPending
}

func (ca *goCA) Canaries(string) (good, revoked *x509.Certificate, err error) {
	return nil, nil, ErrPending
}

func (ca *goCA) CanSign(string) error { return nil }

func (ca *goCA) Issue(_ context.Context, name string, req IssueRequest) (*x509.Certificate, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	pub, err := pki.CheckCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	id, err := pki.KeyID(pub)
	if err != nil {
		return nil, err
	}
	id = fmt.Sprintf("%s %s %+v", name, id, req.Template)
	if c := ca.given[id]; c != nil && !req.Fresh {
		return c, nil
	}
	if err := req.Template.Check(); err != nil {
		return nil, err
	}
	ca.serial++
	usage := x509.ExtKeyUsageServerAuth
	if req.Template.Profile == pki.ProfileClient {
		usage = x509.ExtKeyUsageClientAuth
	}
	names := append([]string(nil), req.Template.DNSNames...)
	for _, ip := range req.Template.IPAddresses {
		names = append(names, ip.String())
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial), Subject: req.Template.Subject, DNSNames: names, IPAddresses: req.Template.IPAddresses,
		NotBefore: ca.now.Add(-pki.Backdate), NotAfter: ca.now.Add(req.Template.ValidFor), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.certs[name], pub, ca.keys[name])
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca.given[id], ca.issued = cert, append(ca.issued, cert)
	return cert, nil
}

// world is a small fleet: an application host and, when asked for, a server, both inside one sandbox.
type world struct {
	t      *testing.T
	sb     *transporttest.Sandbox
	conn   transport.Conn
	fleet  *Fleet
	ca     *goCA
	client *Host
	server *Host
	trips  int
	// cut ends the connection before the step (probes not counted) of this number, from 1. kill ends that step's program at a command's number.
	cut, kill, killCommand, steps int
	// shell, if not nil, runs every program in the place of /bin/sh.
	shell []string
}

var testAuthorities = map[string]pki.Authority{
	"clients_root": {Name: "clients_root", Subject: "CN=root-ca1"},
	"clients":      {Name: "clients", Issuer: "clients_root", Subject: "CN=clients.example.net"},
	"servers_root": {Name: "servers_root", Subject: "CN=root-ca2"},
	"servers":      {Name: "servers", Issuer: "servers_root", Subject: "CN=intermediate.example.net"},
}

// newWorld makes a test run beside others. It has OS user app with database user dbuser1 on app1, and db1 which nobody has looked at yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, sb: transporttest.NewSandbox(t)}
	w.conn = w.sb.Conn
	w.sb.Shell("useradd -m app")
	now := time.Now().Truncate(time.Second)
	w.ca = newGoCA(t, now, testAuthorities)
	w.client = &Host{Name: "app1.example.net", Address: "app1.example.net", Roles: []string{"client"}, Servers: []string{"db1.example.net"},
		Identities: []Identity{{OSUser: "app", DBUser: "dbuser1"}}, View: &View{}}
	w.server = &Host{Name: "db1.example.net", Address: "127.0.0.1", Roles: []string{"db_server"}, View: &View{}}
	w.fleet = &Fleet{Hosts: map[string]*Host{w.client.Name: w.client, w.server.Name: w.server}, Authorities: testAuthorities, CA: w.ca,
		Run: "20250101T000000-test", Now: now, Proofs: &Proofs{}}
	w.client.Fleet, w.server.Fleet = w.fleet, w.fleet
	return w
}

// serverSeen makes db1 look like a host with one cluster on a port.
func (w *world) serverSeen(port int) {
	rec := func(name, body string) string { return fmt.Sprintf("%s %d\n%s\n", name, len(body), body) }
	out := rec("host", "now=1") + rec("cluster", "data=/var/lib/postgresql/15/main\nconfig=/etc/postgresql/15/main/postgresql.conf\nbin=/usr/lib/postgresql/15/bin\nuser=postgres\ngroup=postgres\nstate=running\nmajor=15") +
		rec("pidfile", fmt.Sprintf("%d\n/var/run/postgresql\n*\nready", port)) + rec("end", "")
	w.server.View.Put(transport.Result{Key: KeyPostgres, Stdout: []byte(out)})
}

// task decodes a kind as a playbook would.
func task(t *testing.T, kind string, values map[string]any) Task {
	t.Helper()
	k, ok := Lookup(kind)
	if !ok {
		t.Fatalf("no kind %s", kind)
	}
	out, errs := Decode(k, values)
	for _, err := range errs {
		t.Fatal(err)
	}
	return out
}

// Do counts round trips, cuts and kills where the test wants it, and looks for keys in everything that comes back.
func (w *world) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	w.trips++
	steps = append([]transport.Step(nil), steps...)
	var cut error
	for i, s := range steps {
		if w.shell != nil && s.Shell != "" {
			steps[i].Argv, steps[i].Shell = append(append(slices.Clone(w.shell), "-c", s.Shell, "sh"), s.Argv...), ""
		}
		if s.Probe {
			continue
		}
		w.steps++
		if w.steps == w.cut {
			steps, cut = steps[:i], fmt.Errorf("cut by the test: %w", transport.ErrUnreachable)
			break
		}
		if w.steps == w.kill && s.Shell != "" {
			prelude := fmt.Sprintf("n=0; set -T; trap 'n=$((n+1)); [ $n -ne %d ] || kill -9 $$' DEBUG\n", w.killCommand)
			steps[i].Argv, steps[i].Shell = append([]string{"bash", "-c", prelude + s.Shell, "sh"}, s.Argv...), ""
		}
	}
	var results []transport.Result
	var err error
	if len(steps) > 0 {
		results, err = w.conn.Do(ctx, steps...)
	}
	for _, r := range results {
		if bytes.Contains(r.Stdout, []byte("PRIVATE KEY")) || bytes.Contains(r.Stderr, []byte("PRIVATE KEY")) {
			w.t.Errorf("%s: a private key came back", r.Key)
		}
	}
	if cut != nil && err == nil {
		return results, cut
	}
	return results, err
}

func (w *world) look(h *Host, task Task) error {
	steps := task.Needs(h)
	if len(steps) == 0 {
		return nil
	}
	results, err := w.Do(context.Background(), steps...)
	h.View.Put(results...)
	return err
}

// check looks and checks.
func (w *world) check(h *Host, task Task) (*Change, error) {
	if err := w.look(h, task); err != nil {
		return nil, err
	}
	return task.Check(context.Background(), h)
}

// apply does what a runner does with a change, and fails where it would.
func (w *world) apply(h *Host, task Task, c *Change) error {
	ctx := context.Background()
	closing, err := c.Apply(ctx, w)
	if err != nil {
		return err
	}
	var probes []transport.Step
	for _, s := range task.Needs(h) {
		for _, key := range c.Touches {
			if s.Key == key {
				probes = append(probes, s)
			}
		}
	}
	results, err := w.Do(ctx, append(append([]transport.Step(nil), closing...), probes...)...)
	if err != nil {
		return err
	}
	done := min(len(results), len(closing))
	failed := transport.Failed(closing, results[:done])
	if c.Then != nil {
		failed = errors.Join(failed, c.Then(results[:done]))
	}
	if failed != nil {
		return failed
	}
	h.View.Put(results[done:]...)
	again, err := task.Check(ctx, h)
	if err != nil {
		return fmt.Errorf("check again: %w", err)
	}
	if again != nil {
		return fmt.Errorf("not done: %s\n%s", again.Summary, again.Diff)
	}
	return nil
}

// run looks, checks and applies; changed tells whether there was something to do.
func (w *world) run(h *Host, task Task) (changed bool, err error) {
	c, err := w.check(h, task)
	if err != nil || c == nil {
		return false, err
	}
	if strings.Contains(c.Diff, "PRIVATE KEY") {
		w.t.Error("a private key in a diff")
	}
	return true, w.apply(h, task, c)
}

// must runs and wants a change or none.
func (w *world) must(h *Host, task Task, want bool) {
	w.t.Helper()
	changed, err := w.run(h, task)
	if err != nil {
		w.t.Fatal(err)
	}
	if changed != want {
		w.t.Fatalf("%T changed: %v, want %v", task, changed, want)
	}
}

// refused wants a refusal that names every word.
func (w *world) refused(h *Host, task Task, words ...string) {
	w.t.Helper()
	_, err := w.run(h, task)
	if !errors.Is(err, ErrRefused) {
		w.t.Fatalf("want a refusal, got %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.t.Errorf("the refusal %q does not name %q", err, word)
		}
	}
}
