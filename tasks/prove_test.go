package tasks

import (
	"context"
	"net"
	"strings"
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
	p.cluster("15/main")
	if err := reload.Prove(t.Context(), p.host, p); err != nil {
		t.Errorf("after undo: %v", err)
	}
	p.must(false, reload)
	p.restarts("main")
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
	if err := reload.Prove(t.Context(), p.host, noForwarding{p}); err != nil {
		t.Error(err)
	}
	if notes := reload.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "not proved") {
		t.Errorf("notes %q", notes)
	}
}
