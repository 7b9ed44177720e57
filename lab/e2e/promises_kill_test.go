package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
)

// kills is how often a run is killed: $PGFLEET_KILLS, or a few to save time.
func kills(t *testing.T, few int) int {
	text := os.Getenv("PGFLEET_KILLS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("PGFLEET_KILLS: %v", err)
	}
	return n
}

// dice are seeded with $PGFLEET_SEED, or anew; the seed is in the log.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PGFLEET_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("PGFLEET_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("PGFLEET_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// oldPassword is what the application logs in with before there are certificates.
const oldPassword = "before-the-change"

// application gives the server a role and rules with which the client host's application connects by password.
func (f *fleet) application(t *testing.T, db, client string) {
	t.Helper()
	f.sql(t, db, "create role dbuser1 login password '"+oldPassword+"'")
	f.sh(t, db, `echo "host all dbuser1 $1/32 scram-sha-256" >>/etc/postgresql/15/main/pg_hba.conf`, f.addr(t, client))
	f.sql(t, db, "select pg_reload_conf()")
	if err := f.byPassword(t, db, client); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) byPassword(t *testing.T, db, client string) error {
	_, err := f.psql(t, client, "host="+f.addr(t, db)+" user=dbuser1 dbname=postgres password="+oldPassword, "select 1")
	return err
}

func (f *fleet) byService(t *testing.T, db, client string) error {
	_, err := f.psql(t, client, "service=dbuser1@"+db+" dbname=postgres", "select 1")
	return err
}

// restarts sees that a server starts with the files that it has, and that its application still gets in, the old way or the new.
func (f *fleet) restarts(t *testing.T, db, client string) {
	t.Helper()
	f.sh(t, db, "pg_ctlcluster 15 main restart -m fast")
	if got := f.sql(t, db, "select 1"); got != "1" {
		t.Errorf("%s answers %q", db, got)
	}
	f.served(t, db, client)
}

func (f *fleet) served(t *testing.T, db, client string) {
	t.Helper()
	before := f.byPassword(t, db, client)
	if before == nil {
		return
	}
	if after := f.byService(t, db, client); after != nil {
		t.Errorf("%s can connect to %s neither the old way (%v) nor the new way (%v)", client, db, before, after)
	}
}

// TestKilledFirstRun kills the first run at random moments. Each time the server starts again with what is on disk, the application is served, and
// the next run finishes.
func TestKilledFirstRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	dice := dice(t)
	f.application(t, "db1", "app1")
	begin := time.Now()
	f.want(t, 0, nil, "run", shipped)
	whole := time.Since(begin)
	for i := range kills(t, 3) {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			f.reset(t)
			f.application(t, "db1", "app1")
			f.killed(t, time.Duration(dice.Int64N(int64(whole))), "run", shipped, "-v")
		})
	}
}

// killed starts pgfleet, kills it after a while, and sees that its fleet works on and that the next run finishes.
func (f *fleet) killed(t *testing.T, after time.Duration, args ...string) {
	t.Helper()
	p := f.start(t, args...)
	select {
	case <-time.After(after):
	case <-p.ended:
	}
	p.kill()
	f.served(t, "db1", "app1")
	f.restarts(t, "db1", "app1")
	t.Logf("killed after %s: %s; it had said:\n%s", after.Round(time.Millisecond), p.ProcessState, p.out.String())
	f.finishes(t)
	if err := f.byService(t, "db1", "app1"); err != nil {
		t.Errorf("at the end the service does not work: %v", err)
	}
}

// TestKilledChange kills changes of a finished fleet: renewals, and the way to another stage.
func TestKilledChange(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 1, Client: 1})
	dice := dice(t)
	f.application(t, "db1", "app1")
	f.finishes(t)
	changes := []struct {
		name string
		args []string
	}{
		{"new keys", []string{"rotate", "--force", "--new-key", "-l", "db_server,client"}},
		{"new certificates, also the intermediate's", []string{"rotate", "--force", "-l", "all"}},
		{"stage password", []string{"run", shipped, "-e", "enforce=password"}},
		{"stage cert", []string{"run", shipped}},
	}
	for _, c := range changes {
		begin := time.Now()
		f.want(t, 0, nil, c.args...)
		whole := time.Since(begin)
		for i := range max(1, kills(t, 1)/4) {
			t.Run(fmt.Sprint(c.name, " ", i+1), func(t *testing.T) {
				if c.name == "stage cert" {
					f.want(t, 0, nil, "run", shipped, "-e", "enforce=password")
				}
				f.killed(t, time.Duration(dice.Int64N(int64(whole))), c.args...)
			})
		}
	}
}

// TestKilledReplacement kills replacements of the clients' root and of the servers' at random moments. Each time servers start again with what is on disk, and the next run finishes.
// The application reconnects to every server all the time, before, during and after each kill, but for the moment in which servers are started again: no connection fails.
func TestKilledReplacement(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 1})
	dice := dice(t)
	clients, servers := []string{"app1"}, []string{"db1", "db2"}
	sides := []string{"clients", "servers"}
	generation := map[string]int{}
	name := func(side string, n int) string { return fmt.Sprintf("%s_g%d", side, n) }
	// in gives the fleet in which a side is being replaced; "": none is.
	in := func(t *testing.T, replacing string) *fleet {
		var lines []string
		for _, side := range sides {
			n := generation[side]
			lines = append(lines, root(name(side, n), rootHosts[side], side))
			if side == replacing {
				lines = append(lines, root(name(side, n+1), rootHosts[side], name(side, n)))
			}
		}
		return f.authorities(t, lines...)
	}
	f = f.without(t, "ca3")
	in(t, "").finishes(t)
	var whole time.Duration
	killed := 0
	var all row
	// The first two say how long it takes; what ends before it is killed does not count.
	for i := 0; killed < kills(t, 3); i++ {
		side := sides[i%2]
		f := in(t, side)
		args := []string{"rotate-ca", "--until", "drop", "-y"}
		l := f.begin(t, clients, servers)
		if i < 2 {
			begin := time.Now()
			f.want(t, 0, nil, args...)
			whole = max(whole, time.Since(begin))
		} else {
			after := time.Duration(dice.Int64N(int64(whole)))
			p := f.start(t, args...)
			select {
			case <-time.After(after):
			case <-p.ended:
			}
			p.kill()
			if p.ProcessState.ExitCode() == -1 {
				killed++
			}
			t.Logf("%d, %s: killed after %s: %s; it had said:\n%s", i-1, side, after.Round(time.Millisecond), p.ProcessState, p.out.String())
			all.add(t, l)
			for _, db := range servers {
				f.restarts(t, db, "app1")
			}
			l = f.begin(t, clients, servers)
			f.want(t, 0, []string{"take it out of"}, args...)
		}
		generation[side]++
		all.times++
		all.add(t, l)
		f.expectIssuer(t, name(side, generation[side]), map[string]string{"clients": "sslcert", "servers": "ssl_cert_file"}[side], map[string][]string{"clients": clients, "servers": servers}[side]...)
		// A run that was killed may have left versions that nobody needs; the playbook that sets up takes them away, and finds nothing else.
		out := in(t, "").want(t, 0, nil, "run", shipped, "--verify", "none", "-D")
		for _, line := range strings.Split(out, "\n") {
			if strings.Contains(line, "not as wanted: ") {
				t.Log(strings.TrimSpace(line))
			}
			if strings.Contains(line, "not as wanted: ") && !strings.Contains(line, "not as wanted: versions that nobody needs in ") {
				t.Errorf("the playbook mends more than versions that nobody needs:\n%s", out)
			}
		}
	}
	t.Logf("%d replacements, %d of them killed, %d connections meanwhile, %d failed", all.times, killed, all.connections, all.failed)
}
