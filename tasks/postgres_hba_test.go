package tasks

import (
	"strings"
	"testing"
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
	p.must(true, &postgresReload{WithProof: true})
	if owner := p.Exec("stat", "-c", "%U:%G %a", path); owner != "postgres:postgres 640" {
		t.Error(owner)
	}
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
