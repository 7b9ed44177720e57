package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// versions of PostgreSQL that pgfleet is for, by the server that has it.
var versions = map[string]string{"db1": "12", "db2": "13", "db3": "14", "db4": "15", "db5": "16", "db6": "17", "db7": "18"}

// installations gives each server the PostgreSQL that lab/postgresql.sh has fetched for it; psql in there is Debian's, as the package has none.
func installations(t *testing.T) map[string]string {
	t.Helper()
	folder, err := filepath.Abs("../../bin/postgresql")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for server, version := range versions {
		of[server] = filepath.Join(folder, version)
		if _, err := os.Stat(filepath.Join(of[server], "from")); err != nil {
			transporttest.Unable(t, "there is no PostgreSQL "+version+" to test with: run make postgresql")
		}
	}
	return of
}

// TestVersions sets up mutual TLS on every version of PostgreSQL, rotates everything, revokes the client's certificate, and restarts.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: len(versions), Client: 1, PostgreSQL: installations(t)})
	for _, part := range []struct {
		name string
		do   func(*testing.T, *fleet)
	}{
		{"mutual TLS", func(t *testing.T, f *fleet) { noteLogins(t, f); f.finishes(t) }},
		{"rotation", rotateVersions},
		{"revocation", revokeOnVersions},
		{"settings", settingsOnVersions},
		{"restart", restartVersions},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.do(t, f); f.expectVersions(t) }) {
			t.FailNow()
		}
	}
}

// noteLogins has the servers that can (17 on) write down every login, in the way of PostgreSQL's manual (17, 38.5): its function names its table without a schema.
func noteLogins(t *testing.T, f *fleet) {
	for _, server := range []string{"db6", "db7"} {
		f.sql(t, server, `create table logins (who text);
			create function note_login() returns event_trigger security definer language plpgsql as
				$$ begin insert into logins values (session_user); end $$;
			create event trigger note_logins on login execute function note_login();
			alter event trigger note_logins enable always`)
	}
}

// expectVersions sees that every server is of its version and lets the application in with the certificate that it has now; and has pgfleet make all its tests.
func (f *fleet) expectVersions(t *testing.T) {
	t.Helper()
	const seen = `select current_setting('server_version_num')::int / 10000, current_user, ssl, client_serial from pg_stat_ssl where pid = pg_backend_pid()`
	serial, _ := f.clientPair(t, "app1")
	made := f.testsMade(t)
	for server, version := range versions {
		want := fmt.Sprintf("%s|dbuser1|t|%s", version, decimal(t, serial))
		if got, err := f.psql(t, "app1", "service=dbuser1@"+server+" dbname=postgres", seen); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", version, got, err, want)
		}
		for _, check := range []string{"login", "verify-ca", "no-tls", "wrong-root", "wrong-name", "no-certificate", "revoked"} {
			if tests := made[version+"/main"]; !slices.Contains(tests, check) {
				t.Errorf("%s: no test %q among %v", version, check, tests)
			}
		}
	}
}

// testsMade are those of pgfleet verify, by cluster; each has to be as wanted.
func (f *fleet) testsMade(t *testing.T) map[string][]string {
	t.Helper()
	code, out := f.pgfleet(t, "verify", "-o", "json")
	if code != 0 {
		t.Errorf("pgfleet verify: exit %d:\n%s", code, out)
	}
	made := map[string][]string{}
	for _, c := range readDocument(t, out).Cells {
		if !c.OK || c.NotProven {
			t.Errorf("%+v", c)
		}
		made[c.Cluster] = append(made[c.Cluster], c.Check)
	}
	return made
}

func rotateVersions(t *testing.T, f *fleet) {
	type pair struct{ serial, key string }
	pairs := func() map[string]pair {
		all := map[string]pair{}
		for server := range versions {
			serial, key := f.serverPair(t, server)
			all[server] = pair{serial, key}
		}
		serial, key := f.clientPair(t, "app1")
		all["app1"] = pair{serial, key}
		return all
	}
	before := pairs()
	out := f.want(t, 0, nil, "rotate", "--force", "--new-key", "-l", "db_server,client")
	for host, now := range pairs() {
		if now.serial == before[host].serial || now.key == before[host].key {
			t.Errorf("%s has the certificate or the key of before:\n%s", host, out)
		}
	}
	if out := f.want(t, 0, nil, "rotate"); out != "" {
		t.Errorf("nothing is due, and it says:\n%s", out)
	}
}

func revokeOnVersions(t *testing.T, f *fleet) {
	before, _ := f.clientPair(t, "app1")
	f.want(t, 0, nil, "revoke", "--host", "app1", "-y")
	for server := range versions {
		f.expectRefused(t, "app1", server)
	}
	f.finishes(t)
	if after, _ := f.clientPair(t, "app1"); after == before {
		t.Errorf("the client still has the certificate that was revoked: %s", after)
	}
}

// settingsOnVersions sets what versions call differently, and what some lack.
func settingsOnVersions(t *testing.T, f *fleet) {
	set := func(code int, hosts string, says []string, settings ...string) {
		t.Helper()
		f.want(t, code, says, append([]string{"task", "postgres_settings", "-l", hosts}, settings...)...)
	}
	set(0, "db_server", []string{"7 changed"}, "ssl_ecdh_curve=secp384r1", "ssl_max_protocol_version=TLSv1.3")
	set(0, "db_server", []string{"7 ok"}, "ssl_ecdh_curve=secp384r1", "ssl_max_protocol_version=TLSv1.3")
	reload := []string{"task", "postgres_reload", "-l", "db_server"}
	f.want(t, 0, []string{"7 changed"}, reload...)
	f.want(t, 0, []string{"7 ok"}, reload...)
	for server, version := range versions {
		name := "ssl_ecdh_curve"
		if version == "18" {
			name = "ssl_groups"
		}
		if got := f.sql(t, server, "show "+name); got != "secp384r1" {
			t.Errorf("%s: %s is %s", version, name, got)
		}
	}
	// One host a command: the first that fails keeps those from being asked that have not begun.
	set(2, "db6", []string{"cluster 17/main: ssl_groups exists from PostgreSQL 18 on, this is 17: use ssl_ecdh_curve"}, "ssl_groups=prime256v1:secp384r1")
	set(2, "db2", []string{"cluster 13/main: ssl_crl_dir exists from PostgreSQL 14 on, this is 13: use ssl_crl_file"}, "ssl_crl_dir=/nowhere", "--check")
	set(2, "db1", []string{"cluster 12/main: ssl_max_protocol_version TLSv1.1 is below ssl_min_protocol_version TLSv1.2"}, "ssl_max_protocol_version=TLSv1.1")
	for server := range versions {
		set(2, server, []string{"ssl_ciphers = garbage: this host's OpenSSL"}, "ssl_ciphers=garbage")
	}
	f.want(t, 0, nil, reload...)
}

// restartVersions sees that every version starts with what was written for it: a setting that it lacks would only now be noticed.
func restartVersions(t *testing.T, f *fleet) {
	var restarts sync.WaitGroup
	for server, version := range versions {
		restarts.Go(func() {
			if _, err := f.try(t.Context(), server, "root", "pg_ctlcluster", version, "main", "restart"); err != nil {
				t.Errorf("%s does not start again: %v", version, err)
			}
		})
	}
	restarts.Wait()
	f.finishes(t)
}
