package tasks

import (
	"context"
	"slices"
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

// inShell runs every program that changes something in another shell.
type inShell struct {
	transport.Conn
	shell []string
}

func (c inShell) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	steps = slices.Clone(steps)
	for i, s := range steps {
		if s.Shell != "" && !s.Probe {
			steps[i].Argv, steps[i].Shell = slices.Concat(c.shell, []string{"-c", s.Shell, "sh"}, s.Argv), ""
		}
	}
	return c.Conn.Do(ctx, steps...)
}

// TestChangesInEveryShell: what changes a server does so in bash and in BusyBox's shell with BusyBox's tools, also to files that their owner may only read.
func TestChangesInEveryShell(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	files, trust := p.withTLSFiles("1", ca), p.withTrust("a", ca)
	p.host.Fleet.Hosts["app1"] = &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "dbuser1"}}}
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.Shell(`mkdir /saved && cp -a /etc/postgresql/15/main /saved/ && mkdir /opt/bb && busybox --install -s /opt/bb && cd /opt/bb && rm -f sh su setpriv runuser`)
	via := p.via
	for _, shell := range [][]string{{"env", "PGFLEET_SWITCHER=runuser", "PATH=/opt/bb:/usr/bin:/bin", "busybox", "sh"}, {"bash", "--posix"}} {
		p.reset()
		p.Shell("cd " + etc15 + " && chmod 440 postgresql.conf pg_hba.conf")
		was := p.configuration()
		p.host.Fleet.Run = "run-" + shell[0]
		p.via = inShell{via, shell}
		settings, hba := settingsTask(files, trust, map[string]string{"work_mem": "5MB"}), hbaTask("cert")
		for _, task := range []Task{settings, &postgresReload{WithProof: true}, &postgresRole{Password: "once"}, hba, &postgresReload{WithProof: true}} {
			p.must(true, task)
		}
		p.must(false, settings)
		p.must(false, hba)
		if results, err := p.via.Do(t.Context(), hbaSteps(p.host, p.cluster("15/main"), "hba", etc15+"pg_hba.conf", string(p.cluster("15/main").HBA), "host all all no/address trust\n")...); err != nil ||
			results[0].Err == nil || !strings.Contains(string(results[0].Stderr), "was put back") {
			t.Errorf("%v: rules with an error: %v %+v", shell, err, results)
		}
		// Sent again where what was joined with it has failed, it is done already; what was looked at before that is somebody else's.
		now := string(p.cluster("15/main").HBA)
		again := hbaSteps(p.host, p.cluster("15/main"), "hba", etc15+"pg_hba.conf", now, now+"# more\n")
		late := hbaSteps(p.host, p.cluster("15/main"), "hba", etc15+"pg_hba.conf", now, now+"# other\n")
		p.do(again...)
		p.do(again...)
		if results, err := p.via.Do(t.Context(), late...); err != nil || results[0].Err == nil || !strings.Contains(string(results[0].Stderr), "changed by somebody else") {
			t.Errorf("%v: rules that others have changed: %v %+v", shell, err, results)
		}
		p.do(hbaSteps(p.host, p.cluster("15/main"), "hba", etc15+"pg_hba.conf", now+"# more\n", now)...)
		p.must(false, hba)
		if got := p.Shell("cd " + etc15 + " && stat -c '%a %U %G' postgresql.conf pg_hba.conf && ls"); !strings.HasPrefix(got, "440 postgres postgres\n440 postgres postgres\n") || strings.Contains(got, "pgfleet") {
			t.Errorf("%v: left in %s: %s", shell, etc15, got)
		}
		p.via = via
		if _, wrong := p.back(p.host.Fleet.Run); wrong != "" {
			t.Errorf("%v: %s", shell, wrong)
		}
		if now := p.configuration(); now != was {
			t.Errorf("%v: after a rollback: %s", shell, now)
		}
	}
}
