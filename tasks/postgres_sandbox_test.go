package tasks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// pgHost is a sandbox with PostgreSQL in Debian's layout, seen and changed through a Conn as the runner does it.
type pgHost struct {
	*transporttest.Sandbox
	t    testing.TB
	host *Host
	via  transport.Conn
	// changed counts changes applied.
	changed int
}

// newPGHost starts a host with cluster 15/main (running) and 15/two (stopped).
func newPGHost(t testing.TB) *pgHost {
	t.Helper()
	sb := transporttest.NewSandbox(t)
	// The machine's own cluster is never run; the sandbox sees a copy of it, as installed by Debian's package.
	sb.Shell(`set -e
		mkdir -p /run/postgresql && chown postgres:postgres /run/postgresql
		[ -e /etc/postgresql/15/main/postgresql.conf ] || pg_createcluster 15 main -p 5432 >/dev/null
		cp -a /etc/postgresql/15/main /etc/postgresql/15/two
		cp -a /var/lib/postgresql/15/main /var/lib/postgresql/15/two
		sed -i 's#15/main#15/two#g; s#15-main#15-two#g; s#^port = .*#port = 5433#' /etc/postgresql/15/two/postgresql.conf
		pg_ctlcluster 15 main start`)
	f := &Fleet{Hosts: map[string]*Host{}, Authorities: map[string]pki.Authority{}, Run: "run-1", Now: time.Now(), Proofs: &Proofs{}}
	h := &Host{Name: "db1", Address: "127.0.0.1", Roles: []string{"db_server"}, View: &View{}, Fleet: f, Become: true, Clusters: []string{"15/main"}}
	f.Hosts["db1"] = h
	return &pgHost{Sandbox: sb, t: t, host: h, via: sb.Conn}
}

// Do and Dial make a pgHost a Prober through its current connection.
func (p *pgHost) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	return p.via.Do(ctx, steps...)
}

// look fills the view.
func (p *pgHost) look() error {
	results, err := p.via.Do(context.Background(), PostgresProbe(p.host))
	if err == nil {
		p.host.View.Put(results...)
	}
	return err
}

// cluster gives one cluster after a fresh look.
func (p *pgHost) cluster(id string) *Cluster {
	p.t.Helper()
	if err := p.look(); err != nil {
		p.t.Fatal(err)
	}
	result, _ := p.host.View.Get(KeyPostgres)
	list, err := parseClusters(result.Stdout)
	if err != nil {
		p.t.Fatalf("%v\n%s\n%s", err, result.Stdout, result.Stderr)
	}
	for _, c := range list {
		if c.ID == id {
			return c
		}
	}
	p.t.Fatalf("no cluster %s among %d; %s", id, len(list), result.Stderr)
	return nil
}

// run does a task as the runner does: look, check, apply, look, check again, prove.
func (p *pgHost) run(task Task) error {
	ctx := context.Background()
	if err := p.look(); err != nil {
		return err
	}
	change, err := task.Check(ctx, p.host)
	if err != nil || change == nil {
		return err
	}
	if err := p.apply(ctx, task, change); err != nil {
		return err
	}
	p.changed++
	if prover, ok := task.(Prover); ok {
		return prover.Prove(ctx, p.host, p)
	}
	return nil
}

func (p *pgHost) apply(ctx context.Context, task Task, change *Change) error {
	closing, err := change.Apply(ctx, p)
	if err != nil {
		return err
	}
	results, err := p.via.Do(ctx, append(closing, PostgresProbe(p.host))...)
	if err != nil {
		return err
	}
	if err := transport.Failed(closing, results[:min(len(results), len(closing))]); err != nil {
		return err
	}
	p.host.View.Put(results[len(closing):]...)
	again, err := task.Check(ctx, p.host)
	if err != nil {
		return fmt.Errorf("after the change: %w", err)
	}
	if again != nil {
		return fmt.Errorf("still wants: %s", again.Summary)
	}
	return nil
}

// must runs a task and wants it to change something, or nothing.
func (p *pgHost) must(changes bool, task Task) {
	p.t.Helper()
	before := p.changed
	if err := p.run(task); err != nil {
		p.t.Fatalf("%T: %v", task, err)
	}
	if changed := p.changed > before; changed != changes {
		p.t.Fatalf("%T: changed %v, wanted %v", task, changed, changes)
	}
}

// refused runs a task and wants a refusal that says all of words.
func (p *pgHost) refused(task Task, words ...string) {
	p.t.Helper()
	err := p.run(task)
	if !errors.Is(err, ErrRefused) {
		p.t.Fatalf("%T: not refused: %v", task, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			p.t.Fatalf("%T: refusal does not say %q: %v", task, w, err)
		}
	}
	p.t.Logf("refused: %v", err)
}

// restarts restarts a cluster with what is on disk.
func (p *pgHost) restarts(name string) {
	p.t.Helper()
	p.Exec("pg_ctlcluster", "15", name, "restart")
}

// sql asks the running cluster 15/main.
func (p *pgHost) sql(query string) string {
	p.t.Helper()
	return p.Exec("runuser", "-u", "postgres", "--", "/usr/lib/postgresql/15/bin/psql", "-XAtqc", query)
}

// testCA is an authority in memory, with its test certificates and a server certificate.
type testCA struct {
	name                string
	key                 *ecdsa.PrivateKey
	cert, good, revoked *x509.Certificate
	list                *x509.RevocationList
}

func newTestCA(t testing.TB, name string) *testCA {
	t.Helper()
	ca := &testCA{name: name, key: newKey(t)}
	ca.cert = ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Über & Co, Ltd"}}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}, &ca.key.PublicKey)
	leaf := func(serial int64, cn string) *x509.Certificate {
		return ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, &newKey(t).PublicKey)
	}
	ca.good, ca.revoked = leaf(2, "pgfleet-canary-good"), leaf(3, "pgfleet-canary-revoked")
	ca.list = ca.crl(t, 1, ca.revoked)
	return ca
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (ca *testCA) sign(t testing.TB, tmpl *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := ca.cert
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (ca *testCA) crl(t testing.TB, number int64, revoked ...*x509.Certificate) *x509.RevocationList {
	t.Helper()
	tmpl := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// testCAs is an Authorities of roots in memory.
type testCAs map[string]*testCA

func (m testCAs) get(name string) (*testCA, error) {
	if ca, ok := m[name]; ok {
		return ca, nil
	}
	return nil, fmt.Errorf("authority %s: %w", name, ErrPending)
}

func (m testCAs) Certificate(name string) (*x509.Certificate, error) {
	ca, err := m.get(name)
	if err != nil {
		return nil, err
	}
	return ca.cert, nil
}

func (m testCAs) Chain(name string) ([]*x509.Certificate, error) {
	ca, err := m.get(name)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{ca.cert}, nil
}

func (m testCAs) CRL(name string) (*x509.RevocationList, error) {
	ca, err := m.get(name)
	if err != nil {
		return nil, err
	}
	return ca.list, nil
}

func (m testCAs) Canaries(name string) (good, revoked *x509.Certificate, err error) {
	ca, err := m.get(name)
	if err != nil {
		return nil, nil, err
	}
	return ca.good, ca.revoked, nil
}

func (m testCAs) CanSign(string) error { return nil }

func (m testCAs) Issue(context.Context, string, IssueRequest) (*x509.Certificate, error) {
	return nil, errors.New("not in this test")
}

// withTLSFiles puts a server certificate in place, made with the host's own key, and the client authority with its list; it gives
// the settings that name them.
func (p *pgHost) withTLSFiles(version string, ca *testCA) map[string]string {
	p.t.Helper()
	dir := "/etc/pgfleet/15-main/v/" + version
	csr := p.Shell(`umask 077; mkdir -p "$1"; chmod 755 /etc/pgfleet /etc/pgfleet/15-main /etc/pgfleet/15-main/v "$1"
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/server.key" -subj "/CN=db1" -outform PEM 2>/dev/null
		chown root:postgres "$1/server.key"; chmod 640 "$1/server.key"`, dir)
	block, _ := pem.Decode([]byte(csr))
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	cert := ca.sign(p.t, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "db1"}, DNSNames: []string{"db1"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, request.PublicKey)
	p.WriteFile(dir+"/server.crt", pemText("CERTIFICATE", cert.Raw), 0o644)
	return map[string]string{"ssl": "on", "ssl_cert_file": dir + "/server.crt", "ssl_key_file": dir + "/server.key"}
}

// withTrust puts the client authorities and their lists in place.
func (p *pgHost) withTrust(name string, cas ...*testCA) map[string]string {
	p.t.Helper()
	var roots, lists string
	for _, ca := range cas {
		roots += pemText("CERTIFICATE", ca.cert.Raw)
		lists += pemText("X509 CRL", ca.list.Raw)
		p.host.Fleet.Authorities[ca.name] = pki.Authority{Name: ca.name}
	}
	base := "/etc/pgfleet/15-main/" + name
	p.WriteFile(base+"-ca.pem", roots, 0o644)
	p.WriteFile(base+"-crl.pem", lists, 0o644)
	p.Shell("chmod 755 /etc/pgfleet /etc/pgfleet/15-main")
	return map[string]string{"ssl_ca_file": base + "-ca.pem", "ssl_crl_file": base + "-crl.pem"}
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func settingsTask(sets ...map[string]string) *postgresSettings {
	all := map[string]string{}
	for _, set := range sets {
		for name, value := range set {
			all[name] = value
		}
	}
	return &postgresSettings{Settings: all}
}
