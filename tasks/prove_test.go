package tasks

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

func TestReloadProvesAndRollsBack(t *testing.T) {
	p := newPGHost(t)
	ca, other := newTestCA(t, "clients"), newTestCA(t, "clients2")
	p.host.Fleet.CA = testCAs{"clients": ca, "clients2": other}
	reload := &postgresReload{WithProof: true}

	p.must(true, settingsTask(p.withTLSFiles("1", ca)))
	p.must(true, reload)
	p.must(true, settingsTask(p.withTrust("a", ca, other)))
	p.must(true, reload)
	p.must(false, reload)
	if c := p.cluster("15/main"); len(c.ServedCAs) != 2 || !sameNames(c.ServedCAs, authorityNames(c)) {
		t.Errorf("asks for %q, file holds %q", c.ServedCAs, authorityNames(c))
	}
	p.restarts("main")
	p.must(false, reload)

	// A list that does not name the revoked one is no proof, and the files of before come back.
	p.host.Fleet.Run = "run-2"
	good := p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf")
	ca.list = ca.crl(t, 1)
	p.must(true, settingsTask(p.withTrust("b", ca, other)))
	err := p.run(reload)
	if err == nil || !strings.Contains(err.Error(), "revoked test certificate") {
		t.Fatalf("proof with a list that lacks the revoked one: %v", err)
	}
	t.Log(err)
	steps := reload.Undo(p.host)
	if len(steps) == 0 {
		t.Fatal("nothing to undo")
	}
	p.do(steps...)
	if got := p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); got != good {
		t.Errorf("after undo:\n%s\nwant\n%s", got, good)
	}
	// It shows again what it had shown before that, and then need not again.
	p.cluster("15/main")
	seen := &dials{pgHost: p}
	for _, want := range []bool{true, false} {
		seen.n.Store(0)
		if err := reload.Prove(t.Context(), p.host, seen); err != nil || seen.n.Load() > 0 != want {
			t.Errorf("after undo, with %d connections: %v", seen.n.Load(), err)
		}
	}
	p.must(false, reload)
	p.restarts("main")
}

// dials counts connections to a server.
type dials struct {
	*pgHost
	n atomic.Int32
}

func (d *dials) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.n.Add(1)
	return d.pgHost.Dial(ctx, network, addr)
}

// A run that died after writing leaves something unproved; the next proves it.
func TestNextRunProvesWhatWasLeft(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	p.must(true, settingsTask(p.withTLSFiles("1", ca), p.withTrust("a", ca)))
	p.sql("select pg_reload_conf()")
	time.Sleep(100 * time.Millisecond)
	p.host.Fleet.Run = "run-2"
	if c := p.cluster("15/main"); len(c.Undo) != 1 || c.Undo[0] != "run-1" {
		t.Fatalf("undo %v", c.Undo)
	}
	reload := &postgresReload{WithProof: true}
	p.must(true, reload)
	if c := p.cluster("15/main"); len(c.Undo) != 0 {
		t.Errorf("still unproved: %v", c.Undo)
	}
	p.must(false, reload)
}

func TestRollbackNeverLowersAList(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	reload := &postgresReload{WithProof: true}
	first := p.withTLSFiles("1", ca)
	p.must(true, settingsTask(first, p.withTrust("a", ca)))
	p.must(true, reload)
	p.host.Fleet.Run = "run-2"
	ca.list = ca.crl(t, 2, ca.revoked, ca.good)
	newer := p.withTrust("b", ca)
	p.must(true, settingsTask(p.withTLSFiles("2", ca), newer))
	p.cluster("15/main")
	steps, err := RollbackSteps(p.host, "run-2")
	if err != nil {
		t.Fatal(err)
	}
	p.do(steps...)
	c := p.cluster("15/main")
	set := parseSettings(c.Ours)
	if set["ssl_crl_file"] != newer["ssl_crl_file"] || set["ssl_cert_file"] != first["ssl_cert_file"] {
		t.Errorf("after rollback: %v", set)
	}
	p.restarts("main")
	p.must(false, reload)

	// What a rollback would name has to be there; else the server could not start.
	p.host.Fleet.Run = "run-3"
	third := p.withTLSFiles("3", ca)
	p.must(true, settingsTask(third))
	p.Shell("rm -r /etc/pgfleet/15-main/v/1")
	p.cluster("15/main")
	if steps, err = RollbackSteps(p.host, "run-3"); err != nil {
		t.Fatal(err)
	}
	p.do(steps...)
	p.restarts("main")
	if set := parseSettings(p.cluster("15/main").Ours); set["ssl_cert_file"] != third["ssl_cert_file"] || set["ssl_key_file"] != third["ssl_key_file"] {
		t.Errorf("after a rollback to files that are gone: %v", set)
	}
}

// do runs steps that must work.
func (p *pgHost) do(steps ...transport.Step) {
	p.t.Helper()
	results, err := p.via.Do(p.t.(*testing.T).Context(), steps...)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			p.t.Fatalf("%s: %v\n%s", steps[i].Name(), r.Err, r.Stderr)
		}
	}
}

// noForwarding is a host that lets no connection through it.
type noForwarding struct{ *pgHost }

func (noForwarding) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, transport.ErrForwarding
}

func TestProofWithoutForwarding(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	p.must(true, settingsTask(p.withTLSFiles("1", ca), p.withTrust("a", ca)))
	reload := &postgresReload{WithProof: true}
	if err := reload.Prove(t.Context(), p.host, noForwarding{p}); err == nil || !strings.Contains(err.Error(), "ssl-cert-snakeoil") && !strings.Contains(err.Error(), "server.crt") {
		t.Errorf("before the reload: %v", err)
	}
	p.must(true, reload)
	p.cluster("15/main")
	p.host.Fleet.Proofs = &Proofs{}
	if err := reload.Prove(t.Context(), p.host, noForwarding{p}); err != nil {
		t.Error(err)
	}
	if notes := reload.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "not proved") {
		t.Errorf("notes %q", notes)
	}
}

// What must not come back stays: an authority that was removed, with its list; a certificate that is over by now; one that was revoked, however its serial number is written.
func TestRollbackKeeps(t *testing.T) {
	p := newPGHost(t)
	ca, gone := newTestCA(t, "clients"), newTestCA(t, "clients2")
	p.host.Fleet.CA = testCAs{"clients": ca, "clients2": gone}
	back := func(run, says string) map[string]string {
		t.Helper()
		p.cluster("15/main")
		steps, err := RollbackSteps(p.host, run)
		if err != nil {
			t.Fatal(err)
		}
		results, err := p.via.Do(t.Context(), steps...)
		if err != nil || transport.Failed(steps, results) != nil {
			t.Fatalf("%v, %v", err, results)
		}
		if said := string(results[0].Stdout); !strings.Contains(said, says) {
			t.Errorf("%s: no %q in %q", run, says, said)
		}
		return parseSettings(p.cluster("15/main").Ours)
	}
	first := p.withTLSFiles("1", ca)
	p.must(true, settingsTask(first, p.withTrust("a", ca, gone)))
	p.must(true, &postgresReload{WithProof: true})

	p.host.Fleet.Run = "run-2"
	second, alone := p.withTLSFiles("2", ca), p.withTrust("b", ca)
	p.must(true, settingsTask(second, alone))
	ca.again(p, first["ssl_cert_file"], 77, time.Now().Add(-time.Minute))
	set := back("run-2", "the certificate of before is over")
	if set["ssl_cert_file"] != second["ssl_cert_file"] || set["ssl_key_file"] != second["ssl_key_file"] {
		t.Errorf("a certificate that is over came back: %v", set)
	}
	if set["ssl_ca_file"] != alone["ssl_ca_file"] || set["ssl_crl_file"] != alone["ssl_crl_file"] {
		t.Errorf("an authority that was removed came back: %v", set)
	}

	p.host.Fleet.Run = "run-3"
	third := p.withTLSFiles("3", ca)
	p.must(true, settingsTask(third))
	ca.list = ca.crl(t, 2, ca.revoked, ca.again(p, second["ssl_cert_file"], 11, time.Now().Add(time.Hour)))
	if set = back("run-3", "the certificate of before was revoked"); set["ssl_cert_file"] != third["ssl_cert_file"] || set["ssl_key_file"] != third["ssl_key_file"] {
		t.Errorf("a revoked certificate came back: %v", set)
	}
	p.restarts("main")
}

// again signs the certificate in a file anew, with another serial number and end.
func (ca *testCA) again(p *pgHost, file string, serial int64, end time.Time) *x509.Certificate {
	p.t.Helper()
	block, _ := pem.Decode([]byte(p.ReadFile(file)))
	old, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: old.Subject, DNSNames: old.DNSNames, ExtKeyUsage: old.ExtKeyUsage, NotBefore: end.Add(-2 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, old.PublicKey, ca.key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.WriteFile(file, pemText("CERTIFICATE", der), 0o644)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert
}
