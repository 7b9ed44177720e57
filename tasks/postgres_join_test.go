package tasks

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// planned are the steps of tasks of which each is checked on what the one before it foresees, and of the reload after them.
func (p *pgHost) planned(list ...*postgresSettings) (steps []transport.Step) {
	p.t.Helper()
	c := p.cluster("15/main")
	for _, task := range list {
		change, err := task.Check(p.t.(*testing.T).Context(), p.host)
		if err != nil || change == nil {
			p.t.Fatalf("%v, %v", change, err)
		}
		more, err := change.Apply(p.t.(*testing.T).Context(), p)
		if err != nil {
			p.t.Fatal(err)
		}
		steps = append(steps, more...)
		change.Foresee(p.host.View)
	}
	reload := reloadStep(c)
	reload.Shell, reload.Argv = reload.Shell+"shift 2\n"+undoProvingProgram, append(reload.Argv, c.Dir, p.host.Fleet.Run)
	return append(steps, reload)
}

// joined is one step that does what all these do.
func joined(t *testing.T, steps []transport.Step) transport.Step {
	t.Helper()
	all := steps[0]
	for _, s := range steps[1:] {
		both, ok := Joined(all, s)
		if !ok {
			t.Fatalf("%s and %s were not joined", all.Key, s.Key)
		}
		all = both
	}
	return all
}

// TestJoined: settings of two tasks and the reload after them are one step that does what each of them would, and changes nothing where one of them would be refused.
func TestJoined(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	files, trust := p.withTLSFiles("1", ca), p.withTrust("a", ca)
	was := p.configuration()
	refused := func(word string, list ...*postgresSettings) {
		t.Helper()
		results, err := p.via.Do(t.Context(), joined(t, p.planned(list...)))
		if err != nil || results[0].Err == nil || !strings.Contains(string(results[0].Stderr), word) {
			t.Errorf("wanted %q: %v %s", word, err, results[0].Stderr)
		}
		if now := p.configuration() + p.Shell("ls -A /etc/pgfleet/15-main | grep -v -e .undo -e ^v -e ^a-; ls "+etc15+" | grep pgfleet || :"); now != was {
			t.Errorf("changed: %s", now)
		}
	}
	tls := settingsTask(files)
	refused("NOSUCH", tls, settingsTask(map[string]string{"ssl_ciphers": "NOSUCH"}))
	refused("work_mem", tls, settingsTask(map[string]string{"work_mem": "1"}))
	p.Shell("chmod 644 /etc/pgfleet/15-main/v/1/server.key")
	refused("has mode 644", tls, settingsTask(map[string]string{"work_mem": "5MB"}))
	refused("has mode 644", tls, settingsTask(trust))
	p.Shell("chmod 640 /etc/pgfleet/15-main/v/1/server.key")

	trusts, more := settingsTask(trust), settingsTask(map[string]string{"ssl_min_protocol_version": "TLSv1.3", "work_mem": "5MB"})
	p.do(joined(t, p.planned(tls, trusts, more)))
	for _, task := range []*postgresSettings{tls, trusts, more} {
		p.must(false, task)
	}
	if got := p.sql("select string_agg(setting, ' ' order by name) from pg_settings where name in ('ssl_cert_file', 'ssl_ca_file', 'ssl_min_protocol_version', 'work_mem')"); got != trust["ssl_ca_file"]+" "+
		files["ssl_cert_file"]+" TLSv1.3 5120" {
		t.Errorf("in force: %s", got)
	}
	if got := p.Shell("cd /etc/pgfleet/15-main/.undo && ls && cat */manifest */proving"); !strings.Contains(got, " /etc/postgresql/15/main/postgresql.conf\n") ||
		!strings.Contains(got, "- - - - /etc/pgfleet/15-main/pgfleet.conf\n") || strings.Count(got, "run-1") != 2 {
		t.Errorf("kept: %s", got)
	}
	p.restarts("main")
}

// TestNotJoined: steps of different clusters, runs or users, and of a stopped cluster with the reload of another, stay apart.
func TestNotJoined(t *testing.T) {
	h := &Host{Fleet: &Fleet{Run: "run-1"}}
	c := &Cluster{ID: "15/main", Dir: "/etc/pgfleet/15-main", DataDir: "/data", ConfigFile: "/conf", OSUser: "postgres", Running: true}
	other, stopped, theirs := *c, *c, *c
	other.Dir, stopped.Running, theirs.OSUser = "/etc/pgfleet/15-two", false, "other"
	set := map[string]string{"work_mem": "5MB"}
	step := func(c *Cluster) transport.Step { return settingsSteps(h, c, set)[0] }
	for name, pair := range map[string][2]transport.Step{
		"two clusters":         {step(c), step(&other)},
		"two users":            {step(c), reloadStep(&theirs)},
		"one that is stopped":  {step(&stopped), reloadStep(c)},
		"the reload before":    {reloadStep(c), step(c)},
		"files written before": {writeStep("", "/x", 0o644, nil), step(c)},
	} {
		if _, ok := Joined(pair[0], pair[1]); ok {
			t.Errorf("%s were joined", name)
		}
	}
}
