package tasks

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// withTLS makes the server offer TLS and believe an authority, and adds a client with an identity.
func (p *pgHost) withTLS() {
	p.t.Helper()
	ca := newTestCA(p.t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	p.must(true, settingsTask(p.withTLSFiles("1", ca), p.withTrust("a", ca)))
	p.must(true, &postgresReload{WithProof: true})
	p.host.Fleet.Hosts["app1"] = &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: "dbuser1"}}}
}

func hbaTask(enforce string) *postgresHBA {
	return &postgresHBA{Enforce: enforce, Scope: "declared", Loopback: "keep", HostNoSSL: "reject"}
}

func TestHBAStages(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	const path = "/etc/postgresql/15/main/pg_hba.conf"
	user := p.ReadFile(path)
	p.must(true, &postgresRole{Password: "once"})
	p.must(false, &postgresRole{Password: "once"})
	p.refused(hbaTask("cert"), "app1", "verify-full")
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.must(false, hbaTask("permissive"))
	for _, stage := range []string{"password", "verify-ca", "verify-full", "cert"} {
		p.must(true, hbaTask(stage))
		p.must(false, hbaTask(stage))
		p.must(true, &postgresReload{WithProof: true})
		p.must(false, &postgresReload{WithProof: true})
		text := p.ReadFile(path)
		if !strings.HasSuffix(text, user) {
			t.Fatal("the user's part was changed")
		}
		block, _, err := postgres.SplitBlock([]byte(text))
		if noted := p.cluster("15/main").Rules; err != nil || noted != (RulesNote{stage, survey.Digest(block), "run-1"}) {
			t.Errorf("noted is %+v (%v)", noted, err)
		}
		if got := p.sql("select count(*) from pg_hba_file_rules where error is not null or type is null"); got != "0" {
			t.Fatal(got)
		}
	}
	t.Log(p.ReadFile(path)[:1500])
	p.restarts("main")
	p.must(true, hbaTask("permissive"))
	if p.ReadFile(path) != user {
		t.Error("permissive does not give the user's bytes back")
	}
	if noted := p.cluster("15/main").Rules.Stage; noted != "permissive" {
		t.Errorf("noted is %q", noted)
	}
	p.must(true, &postgresReload{WithProof: true})
	if owner := p.Exec("stat", "-c", "%U:%G %a", path); owner != "postgres:postgres 640" {
		t.Error(owner)
	}

	p.host.Fleet.Run = "run-2"
	p.must(true, hbaTask("password"))
	p.must(true, &postgresIdent{Lines: []string{"a b c"}})
	p.cluster("15/main")
	steps, err := RollbackSteps(p.host, "run-2")
	if err != nil {
		t.Fatal(err)
	}
	p.do(steps...)
	if owner := p.Exec("stat", "-c", "%U:%G %a", path); p.ReadFile(path) != user || owner != "postgres:postgres 640" {
		t.Errorf("after a rollback pg_hba.conf is not as it was (%s)", owner)
	}
	if c := p.cluster("15/main"); strings.Contains(string(c.Ident), "pgfleet") || len(c.Undo) != 0 {
		t.Errorf("after a rollback: %q, unproved %v", c.Ident, c.Undo)
	}
	p.restarts("main")
}

func TestHBARefusals(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	const path = "/etc/postgresql/15/main/pg_hba.conf"
	user := p.ReadFile(path)
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.sql("create role monitor login")
	p.Shell("echo 'hostnossl all monitor 10.9.0.0/16 scram-sha-256' >>" + path)
	p.refused(hbaTask("password"), "role monitor from 10.9.0.0", "admitted now by line")
	withException := hbaTask("password")
	withException.Exceptions = []string{"hostnossl all monitor 10.9.0.0/16 scram-sha-256"}
	p.must(true, withException)
	p.must(true, hbaTask("permissive"))
	all := hbaTask("cert")
	all.Scope = "all"
	p.WriteFile(path, "host all monitor 10.9.0.0/16 scram-sha-256\n"+user, 0o640)
	p.refused(all, "role monitor")
	p.host.Fleet.AcceptRefusals = true
	p.must(true, all)
	p.host.Fleet.AcceptRefusals = false

	p.WriteFile(path, "host all all 10.0.0.0/8 nosuchmethod\n"+user, 0o640)
	p.refused(hbaTask("permissive"), path+":1:", "invalid authentication method")
	p.refused(&postgresReload{WithProof: true}, path+":1:")
}

// A client that the inventory knows by name only is let in from what the name means on the server.
func TestHBAClientsByName(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	client := p.host.Fleet.Hosts["app1"]
	client.Address = "app1.example.net"
	p.refused(hbaTask("password"), `client app1`, `"app1.example.net" means none on db1`)
	p.Shell("echo '10.9.8.7 app1.example.net' >>/etc/hosts")
	p.host.Fleet.CheckOnly = true
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	change, err := hbaTask("password").Check(t.Context(), p.host)
	if err != nil || change == nil || !strings.Contains(change.Diff, "+hostssl   all             dbuser1         10.9.8.7/32        scram-sha-256") ||
		!strings.Contains(change.Summary, "once these clients have connected with verify-full: app1") {
		t.Errorf("%v %+v", err, change)
	}
}

// Sessions that are open now and would not be let in again are named.
func TestHBASessionsOpenNow(t *testing.T) {
	p := newPGHost(t)
	p.withTLS()
	p.host.Fleet.Proofs.Add("app1", "db1", "verify-full")
	p.sql("create role batch login password 'x'")
	p.Shell(`ip addr add 10.7.7.7/32 dev lo
		echo 'host all batch 10.7.7.7/32 scram-sha-256' >>/etc/postgresql/15/main/pg_hba.conf
		echo "listen_addresses = '*'" >>/etc/postgresql/15/main/postgresql.conf
		pg_ctlcluster 15 main restart`)
	session := p.Command(t.Context(), "/usr/lib/postgresql/15/bin/psql", "-XAtq", "host=10.7.7.7 dbname=postgres user=batch password=x sslmode=disable")
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	defer session.Wait()
	defer in.Close()
	in.Write([]byte("select 1;\n"))
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.refused(hbaTask("password"), "session open now: role batch, database postgres, from 10.7.7.7, without TLS")
}
