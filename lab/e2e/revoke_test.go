package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// TestRevoke: what a revocation does to a fleet of several servers and clients. Each part begins where mutual TLS is in force everywhere.
func TestRevoke(t *testing.T) {
	f := newFleet(t, lab.Options{DB: 2, Client: 2})
	f.finishes(t)
	for _, part := range []struct {
		name string
		do   func(*testing.T, *fleet)
	}{
		{"refreshing the lists disturbs nobody", refreshUnderLoad},
		{"nothing is done where it is not clear what is meant", ambiguousName},
		{"another run has the authority's host", revokeHeld},
		{"sessions are ended, and whom it did not reach is named", stragglers},
		{"an authority from an old backup", oldBackup},
		{"going back brings nothing back that was revoked", rollbackAfterRevocation},
		{"offboarding a client", offboard},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.do(t, f) }) {
			t.FailNow()
		}
	}
}

// rollbackAfterRevocation: a server's files of before a run named a certificate that was revoked since, and a list without one of a client. Neither comes back.
func rollbackAfterRevocation(t *testing.T, f *fleet) {
	old, _ := f.serverPair(t, "db1")
	f.want(t, 0, nil, "revoke", "--host", "db1.example.net", "--authority", "servers", "-y")
	f.finishes(t)
	renewed, _ := f.serverPair(t, "db1")
	f.want(t, 0, []string{"kept as they are now: ssl_cert_file and ssl_key_file (the certificate of before was revoked)"}, "rollback", "db1.example.net", "-y")
	if now, _ := f.serverPair(t, "db1"); now != renewed || now == old {
		t.Errorf("the server has %s; it was %s when it was revoked, and %s afterwards", now, old, renewed)
	}
	if err := f.byService(t, "db1", "app1"); err != nil {
		t.Error(err)
	}
	f.want(t, 0, nil, "revoke", "--host", "app1.example.net", "-y")
	f.want(t, 0, []string{"kept as it is now: ssl_crl_file (the one of before is older)"}, "rollback", "db1.example.net", "-y")
	f.expectRefused(t, "app1", "db1")
	f.finishes(t)
}

// revokeHeld: what the authority's host does not do because another run works there has one reason, and ends as everywhere: exit 6.
func revokeHeld(t *testing.T, f *fleet) {
	f.sh(t, "ca1", `now=$(date +%s); printf '%s\n' other 'alice@ws pid 1' x $((now + 600)) "$now" >/run/pgfleet/lock`)
	f.want(t, 6, []string{"ca1.example.net is held by alice@ws pid 1", "depends on ca1.example.net", "not revoked, still accepted everywhere"}, "revoke", "--name", "dbuser1", "--all", "-y")
	f.sh(t, "ca1", "rm /run/pgfleet/lock")
	if err := f.byService(t, "db1", "app1"); err != nil {
		t.Error(err)
	}
}

// number is that of an authority's list.
func (f *fleet) number(t *testing.T, host, authority string) string {
	t.Helper()
	return f.sh(t, host, "openssl crl -noout -crlnumber -in "+caDir(authority)+"/crl/ca.crl")
}

// expectRefused sees that a client's certificate is refused by a server as revoked.
func (f *fleet) expectRefused(t *testing.T, client, server string) {
	t.Helper()
	if out, err := f.psql(t, client, "service=dbuser1@"+server+" dbname=postgres", "select 1"); err == nil || !strings.Contains(out+err.Error(), "certificate revoked") {
		t.Errorf("%s to %s: want a certificate that is revoked, got %s %v", client, server, out, err)
	}
}

// refreshUnderLoad has every authority make a new list while both clients go on connecting to both servers.
func refreshUnderLoad(t *testing.T, f *fleet) {
	const load = `cd /tmp; rm -f stop failed made; for s in db1 db2; do ( while [ ! -e stop ]; do
		if ` + psqlPath + ` -XAtqw "service=dbuser1@$s dbname=postgres" -c "select 1" >/dev/null 2>>failed; then echo >>made; fi; done ) & done; wait`
	done := make(chan error)
	for _, client := range []string{"app1", "app2"} {
		go func() { _, err := f.try(t.Context(), client, "postgres", "sh", "-c", load); done <- err }()
	}
	for _, client := range []string{"app1", "app2"} {
		waitFor(t, func() bool { return f.sh(t, client, "ls /tmp/made 2>/dev/null || :") != "" })
	}
	before := f.number(t, "ca1", "clients")
	for range 2 {
		f.want(t, 0, nil, "run", "crl", "-e", "list=new")
	}
	if now := f.number(t, "ca1", "clients"); now == before {
		t.Errorf("the list is still %s", now)
	}
	for _, client := range []string{"app1", "app2"} {
		f.sh(t, client, "touch /tmp/stop")
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, client := range []string{"app1", "app2"} {
		made, failed := f.sh(t, client, "wc -l </tmp/made"), f.sh(t, client, "cat /tmp/failed")
		t.Logf("%s: %s connections", client, made)
		if failed != "" || len(made) < 2 {
			t.Errorf("%s: %s connections, failed:\n%s", client, made, failed)
		}
	}
	f.want(t, 0, []string{"7 ok"}, "run", "crl")
	f.want(t, 0, []string{"7 ok"}, "run", shipped, "--verify", "none")
}

func ambiguousName(t *testing.T, f *fleet) {
	before := f.number(t, "ca1", "clients")
	out := f.want(t, 5, []string{"on app1.example.net", "on app2.example.net", "--host HOST"}, "revoke", "--name", "dbuser1", "-y")
	if strings.Count(out, "clients:") != 2 {
		t.Errorf("want two candidates:\n%s", out)
	}
	f.want(t, 0, []string{"would change"}, "revoke", "--name", "dbuser1", "--host", "app1", "--check")
	if now := f.number(t, "ca1", "clients"); now != before {
		t.Errorf("list %s became %s", before, now)
	}
}

// session opens one that sleeps, and gives how it ends.
func (f *fleet) session(t *testing.T, client, server string) chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := f.try(t.Context(), client, "postgres", psqlPath, "-XAtqw", "service=dbuser1@"+server+" dbname=postgres", "-c", "select pg_sleep(600)")
		ended <- err
	}()
	waitFor(t, func() bool {
		return strings.Contains(f.sql(t, server, "select host(client_addr) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"), f.addr(t, client))
	})
	return ended
}

// waitFor looks until it is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never came to be")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func stragglers(t *testing.T, f *fleet) {
	theirs, other := f.session(t, "app1", "db1"), f.session(t, "app2", "db1")
	file := filepath.Join(t.TempDir(), "old.crt")
	if err := os.WriteFile(file, []byte(f.sh(t, "app1", "cat "+home+"/.postgresql/pgfleet/dbuser1/v/*/client.crt")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.lab.Stop(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	f.want(t, 4, []string{"still accepted at db2.example.net (unreachable)", "end the sessions of dbuser1 from " + f.addr(t, "app1"), "from the same key"},
		"revoke", "--file", file, "--terminate", "-y", "--connect-timeout", "2s")
	if err := <-theirs; err == nil || !strings.Contains(err.Error(), "terminating connection") {
		t.Errorf("the session of app1 ended with %v", err)
	}
	select {
	case err := <-other:
		t.Errorf("the session of app2 ended with %v", err)
	default:
	}
	f.sql(t, "db1", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()")
	<-other
	f.expectRefused(t, "app1", "db1")
	expectLogin(t, f.lab, "app2", "dbuser1", true)
	if err := f.lab.Start(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.psql(t, "app1", "service=dbuser1@db2 dbname=postgres", "select 1"); err != nil {
		t.Errorf("db2 has no new list yet, but: %v", err)
	}
	f.want(t, 0, []string{"bring newer lists to cluster 15/main"}, "run", "crl")
	f.expectRefused(t, "app1", "db2")
	f.finishes(t)
}

// oldBackup restores an authority as it was before a revocation: no server takes its lists.
func oldBackup(t *testing.T, f *fleet) {
	f.sh(t, "ca1", "cp -a "+caDir("clients")+" /root/backup")
	f.want(t, 0, nil, "revoke", "--host", "app1.example.net", "-y")
	f.sh(t, "ca1", "rm -rf "+caDir("clients")+".now && mv "+caDir("clients")+" "+caDir("clients")+".now && cp -a /root/backup "+caDir("clients"))
	files := func() string {
		return f.sh(t, "db1", "cat /etc/pgfleet/15-main/pgfleet.conf; ls -l --full-time /etc/pgfleet/15-main")
	}
	before := files()
	f.want(t, 2, []string{"db1.example.net", "would let revoked certificates in again"}, "run", "crl")
	// Its number has caught up, but the revocation is lost.
	f.want(t, 2, []string{"db2.example.net", "lacks the revoked certificate"}, "run", "crl", "-e", "list=new")
	if now := files(); now != before {
		t.Errorf("the server's files were\n%s\nand are\n%s", before, now)
	}
	f.expectRefused(t, "app1", "db1")
	f.sh(t, "ca1", "rm -rf "+caDir("clients")+" && mv "+caDir("clients")+".now "+caDir("clients"))
	f.finishes(t)
}

func offboard(t *testing.T, f *fleet) {
	ended := f.session(t, "app2", "db2")
	rule := "hostssl   all             dbuser1         " + f.addr(t, "app2") + "/32"
	hba := func(host string) string { return f.sh(t, host, "cat /etc/postgresql/15/main/pg_hba.conf") }
	if !strings.Contains(hba("db1"), rule) {
		t.Fatalf("no %q in\n%s", rule, hba("db1"))
	}
	f.want(t, 0, []string{"out of the inventory", "remove key, certificates and services of dbuser1"}, "revoke", "--host", "app2", "--offboard", "-y")
	if err := <-ended; err == nil {
		t.Error("the session was not ended")
	}
	for _, host := range []string{"db1", "db2"} {
		if strings.Contains(hba(host), rule) {
			t.Errorf("%s still has %q", host, rule)
		}
	}
	if left := labtest.Exec(t, f.lab, "app2", "sh", "-c", "find "+home+"/.postgresql -type f; cat "+home+"/.pg_service.conf"); left != "" {
		t.Errorf("left on app2:\n%s", left)
	}
	expectLogin(t, f.lab, "app1", "dbuser1", true)
	left := &fleet{lab: f.lab, inventory: writeInventory(t, without(t, f.lab.Inventory(), "app2.example.net"))}
	left.finishes(t)
	// What is gone from the inventory can still be revoked: nothing is left to do.
	left.want(t, 0, []string{"revoked on"}, "revoke", "--host", "app2.example.net", "-y")
}
