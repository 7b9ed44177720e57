package tasks

import (
	"slices"
	"strings"
	"testing"
)

func (w *world) offboard(profile string, identities ...string) Task {
	return task(w.t, "offboard", map[string]any{"profile": profile, "identities": anyList(identities)})
}

// What an identity was given goes, copies too; what others have, and what is the user's own, stays.
func TestOffboardAClient(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.client.Identities = []Identity{{OSUser: "app", DBUser: "dbuser1", Default: true}, {OSUser: "app", DBUser: "o'br\"ien x"}}
	w.sb.Shell(`su app -c 'mkdir -m 700 ~/.postgresql; echo mine >~/.postgresql/notes; printf "[own]\nhost=elsewhere\n" >~/.pg_service.conf; chmod 600 ~/.pg_service.conf'`)
	trust, cert := task(t, "trust", clientTrust), task(t, "certificate", clientCertificate)
	w.must(w.client, trust, true)
	w.must(w.client, cert, true)
	before := w.sb.ReadFile("/home/app/.pg_service.conf")
	first := w.offboard("client", "app1.example.net/dbuser1")
	w.must(w.client, w.offboard("client", "app2.example.net/dbuser1", "app1.example.net/dbuser2"), false)
	w.must(w.client, first, true)
	w.must(w.client, first, false)
	left := strings.Fields(w.sb.Shell(`cd /home/app/.postgresql && find . -type f | sort`))
	gone := func(name string) bool { return !slices.Contains(left, "./"+name) }
	if !gone("postgresql.key") || !gone("postgresql.crt") || gone("root.crt") || gone("notes") || gone("pgfleet/o%27br%22ien%20x/root.crt") || slices.ContainsFunc(left, func(f string) bool { return strings.Contains(f, "dbuser1") }) {
		t.Errorf("left are %q", left)
	}
	if conf := w.sb.ReadFile("/home/app/.pg_service.conf"); strings.Contains(conf, "dbuser1@") || !strings.Contains(conf, "[own]\nhost=elsewhere\n") || !strings.Contains(conf, "o'br\"ien x@db1") ||
		!strings.Contains(before, "dbuser1@db1") {
		t.Errorf("before\n%s\nafter\n%s", before, conf)
	}
	w.must(w.client, w.offboard("client", "app1.example.net/dbuser1", "app1.example.net/o'br\"ien x"), true)
	if got := w.sb.Shell("cd /home/app/.postgresql && find . -type f; cat /home/app/.pg_service.conf"); got != "./notes\n[own]\nhost=elsewhere" {
		t.Error(got)
	}
}

// The rule of an address stays for another client that has it, too, with the same database user, unless that one goes as well.
func TestOffboardSharedAddress(t *testing.T) {
	f := &Fleet{Hosts: map[string]*Host{}}
	client := func(name, address, user string) *Host {
		h := &Host{Name: name, Address: address, Roles: []string{"client"}, Servers: []string{"db1"}, Identities: []Identity{{OSUser: "app", DBUser: user}}, Fleet: f}
		f.Hosts[name] = h
		return h
	}
	db, app1 := &Host{Name: "db1", Fleet: f}, client("app1", "10.0.0.7", "u")
	client("app2", "10.0.0.8", "u")
	client("app3", "10.0.0.7", "other")
	alone := func(identities ...string) int {
		return len((&offboardTask{Identities: identities}).theirsAlone(db, &Cluster{}, app1, app1.Identities[0]))
	}
	if got := alone("app1/u"); got != 1 {
		t.Errorf("nobody else has it, and %d are taken away", got)
	}
	client("app4", "10.0.0.7", "u")
	if got := alone("app1/u"); got != 0 {
		t.Errorf("app4 has the address with the same user, and %d are taken away", got)
	}
	if got := alone("app1/u", "app4/u"); got != 1 {
		t.Errorf("both go, and %d are taken away", got)
	}
}

// Killed anywhere, the next run finishes.
func TestOffboardKilled(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	flow := []flowStep{{onClient, "trust", inHome("servers", "crl", "yes")}, {onClient, "certificate", map[string]any{"issuer": "clients", "tls_dir": "home"}}}
	remove := w.offboard("client", "app1.example.net/dbuser1")
	for command := 2; ; command += 8 {
		w.emptyClient()
		w.steps, w.kill = 0, 0
		if _, err := w.follow(flow); err != nil {
			t.Fatal(err)
		}
		w.steps, w.kill, w.killCommand = 0, 1, command
		_, err := w.run(w.client, remove)
		w.kill = 0
		if _, err := w.run(w.client, remove); err != nil {
			t.Fatalf("killed at command %d: %v", command, err)
		}
		if got := w.sb.Shell("cd /home/app && find .postgresql -type f; cat .pg_service.conf"); got != "" {
			t.Fatalf("killed at command %d: left is\n%s", command, got)
		}
		if err == nil {
			if command < 20 {
				t.Errorf("killed only up to command %d", command)
			}
			return
		}
	}
}

// Nothing is removed through somebody's link.
func TestOffboardHostile(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	w.must(w.client, task(t, "trust", clientTrust), true)
	w.sb.Shell("mkdir -p /srv/precious/v && touch /srv/precious/file && chown -R app /srv/precious")
	for _, c := range []struct{ harm, repair string }{
		{"mv .postgresql/pgfleet/dbuser1 kept; ln -s /srv/precious .postgresql/pgfleet/dbuser1", "rm .postgresql/pgfleet/dbuser1; mv kept .postgresql/pgfleet/dbuser1"},
		{"mv .postgresql kept; ln -s kept .postgresql", "rm .postgresql; mv kept .postgresql"},
		{"mv .pg_service.conf kept; ln -s kept .pg_service.conf", "rm .pg_service.conf; mv kept .pg_service.conf"},
	} {
		w.sb.Shell("cd /home/app; " + c.harm)
		w.refused(w.client, w.offboard("client", "app1.example.net/dbuser1"), "symbolic link")
		w.sb.Shell("cd /home/app; " + c.repair)
	}
	if got := w.sb.Shell("ls /srv/precious"); got != "file\nv" {
		t.Error(got)
	}
	w.must(w.client, w.offboard("client", "app1.example.net/dbuser1"), true)
}
