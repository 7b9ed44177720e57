package tasks

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// A run of all kinds is cut at every call, before, after and between its steps. Each time PostgreSQL restarts with what is on disk, the next run
// finishes the job, and the one after that changes nothing.
func TestWalkCutAtEveryCall(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	files, trust := p.withTLSFiles("1", ca), p.withTrust("a", ca)
	p.host.Fleet.Hosts["app1"] = &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "dbuser1"}}}
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.Shell("mkdir /saved && cp -a /etc/postgresql/15/main /saved/")
	job := []Task{settingsTask(files, trust), &postgresReload{WithProof: true}, &postgresRole{Password: "once"}, hbaTask("cert"), &postgresIdent{Lines: []string{"apps app1 dbuser1"}},
		&postgresReload{WithProof: true}}
	run := func() error {
		for _, task := range job {
			if err := p.run(task); err != nil {
				return fmt.Errorf("%T: %w", task, err)
			}
		}
		return nil
	}
	sb := p.Sandbox.Conn
	counter := transporttest.Cut(sb, 0, false)
	p.via = counter
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if c := p.cluster("15/main"); len(c.Undo) != 0 {
		t.Fatalf("unproved: %v", c.Undo)
	}
	calls := counter.Seen()
	walks := 0
	for n, steps := range calls {
		for k := 0; k <= len(steps); k++ {
			if n == len(calls)-1 || k > 0 && allProbes(steps) {
				continue
			}
			walks++
			p.reset()
			p.host.Fleet.Run = fmt.Sprintf("run-%d-%d", n, k)
			p.via = transporttest.CutAt(sb, n+1, transporttest.Between, k)
			if err := run(); !errors.Is(err, transport.ErrUnreachable) {
				t.Fatalf("cut at call %d after %d steps: %v", n+1, k, err)
			}
			p.via = sb
			p.restarts("main")
			p.host.Fleet.Run += "-next"
			if err := run(); err != nil {
				t.Fatalf("run after a cut at call %d after %d steps of %v: %v", n+1, k, names(steps), err)
			}
			if c := p.cluster("15/main"); len(c.Undo) != 0 {
				t.Fatalf("cut at call %d after %d steps: unproved %v", n+1, k, c.Undo)
			}
			for _, task := range job {
				if change, err := task.Check(t.Context(), p.host); err != nil || change != nil {
					t.Fatalf("second run after a cut at call %d after %d steps: %T: %v %v", n+1, k, task, change, err)
				}
			}
		}
	}
	t.Logf("%d cuts", walks)
}

// reset brings the cluster back to the state before any run.
func (p *pgHost) reset() {
	p.t.Helper()
	p.Shell(`set -e
		cp -a /saved/main/. /etc/postgresql/15/main/
		rm -rf /etc/pgfleet/15-main/pgfleet.conf /etc/pgfleet/15-main/.undo
		runuser -u postgres -- /usr/lib/postgresql/15/bin/psql -XAtqc 'drop role if exists dbuser1'
		runuser -u postgres -- kill -HUP "$(head -n 1 /var/lib/postgresql/15/main/postmaster.pid)"`)
}

func allProbes(steps []transport.Step) bool {
	for _, s := range steps {
		if !s.Probe {
			return false
		}
	}
	return true
}

func names(steps []transport.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Name())
	}
	return out
}
