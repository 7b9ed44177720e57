package e2e_test

import (
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// The versions of PostgreSQL that pgfleet is for. db1 has the first, db2 the next, and so on.
const (
	oldestVersion = 12
	newestVersion = 18
)

// installations gives each server the PostgreSQL that lab/postgresql.sh has fetched for it; psql in there is Debian's 15, as the package has none.
func installations(t *testing.T) map[string]string {
	t.Helper()
	folder, err := filepath.Abs("../../bin/postgresql")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for version := oldestVersion; version <= newestVersion; version++ {
		home := filepath.Join(folder, fmt.Sprint(version))
		if _, err := os.Stat(filepath.Join(home, "from")); err != nil {
			transporttest.Unable(t, "there is no PostgreSQL "+fmt.Sprint(version)+" to test with: run make postgresql")
		}
		of[serverOf(version)] = home
	}
	return of
}

func serverOf(version int) string { return fmt.Sprint("db", version-oldestVersion+1) }

// TestVersions sets up mutual TLS on every version of PostgreSQL, rotates everything, revokes the client's certificate, and restarts.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: newestVersion - oldestVersion + 1, Client: 1, PostgreSQL: installations(t)})
	for _, part := range []struct {
		name string
		do   func(*testing.T, *fleet)
	}{
		{"mutual TLS", mutualOnVersions},
		{"rotation", rotateVersions},
		{"revocation", revokeOnVersions},
		{"restart", restartVersions},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.do(t, f) }) {
			t.FailNow()
		}
	}
}

// eachVersion does it for every version, as a test of its own.
func eachVersion(t *testing.T, do func(t *testing.T, version int, server string)) {
	t.Helper()
	for version := oldestVersion; version <= newestVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { do(t, version, serverOf(version)) })
	}
}

// loginsOnVersions sees that the application gets in everywhere with the certificate it has now, and that each server is of its version.
func (f *fleet) loginsOnVersions(t *testing.T) {
	t.Helper()
	const seen = `select current_setting('server_version_num')::int / 10000, current_user, ssl, client_serial from pg_stat_ssl where pid = pg_backend_pid()`
	serial, _ := f.clientPair(t, "app1")
	number, ok := new(big.Int).SetString(strings.TrimPrefix(serial, "serial="), 16)
	if !ok {
		t.Fatalf("the client's certificate has %s", serial)
	}
	eachVersion(t, func(t *testing.T, version int, server string) {
		want := fmt.Sprintf("%d|dbuser1|t|%s", version, number)
		if got, err := f.psql(t, "app1", "service=dbuser1@"+server+" dbname=postgres", seen); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// verifyVersions has pgfleet make all its tests: on every version somebody is let in, and others are refused.
func (f *fleet) verifyVersions(t *testing.T) {
	t.Helper()
	code, out := f.pgfleet(t, "verify", "-o", "json")
	doc := readDocument(t, out)
	if code != 0 {
		t.Errorf("pgfleet verify: exit %d:\n%s", code, out)
	}
	made := map[string][]string{}
	for _, c := range doc.Cells {
		if !c.OK || c.NotProven {
			t.Errorf("%+v", c)
		}
		made[c.Cluster] = append(made[c.Cluster], c.Check)
	}
	eachVersion(t, func(t *testing.T, version int, _ string) {
		for _, check := range []string{"login", "verify-ca", "no-tls", "wrong-root", "wrong-name", "no-certificate", "revoked"} {
			if tests := made[fmt.Sprintf("%d/main", version)]; !slices.Contains(tests, check) {
				t.Errorf("no test %q among %v", check, tests)
			}
		}
	})
}

func mutualOnVersions(t *testing.T, f *fleet) {
	f.finishes(t)
	f.verifyVersions(t)
	f.loginsOnVersions(t)
}

func rotateVersions(t *testing.T, f *fleet) {
	type pair struct{ serial, key string }
	pairs := func() map[string]pair {
		all := map[string]pair{}
		for version := oldestVersion; version <= newestVersion; version++ {
			serial, key := f.serverPair(t, serverOf(version))
			all[serverOf(version)] = pair{serial, key}
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
	f.verifyVersions(t)
	f.loginsOnVersions(t)
}

func revokeOnVersions(t *testing.T, f *fleet) {
	before, _ := f.clientPair(t, "app1")
	f.want(t, 0, nil, "revoke", "--host", "app1", "-y")
	eachVersion(t, func(t *testing.T, _ int, server string) { f.expectRefused(t, "app1", server) })
	f.finishes(t)
	if after, _ := f.clientPair(t, "app1"); after == before {
		t.Errorf("the client still has the certificate that was revoked: %s", after)
	}
	f.verifyVersions(t)
	f.loginsOnVersions(t)
}

// restartVersions sees that every version starts with what was written for it: a setting that it lacks would only now be noticed.
func restartVersions(t *testing.T, f *fleet) {
	var restarts sync.WaitGroup
	for version := oldestVersion; version <= newestVersion; version++ {
		restarts.Go(func() {
			if _, err := f.try(t.Context(), serverOf(version), "root", "pg_ctlcluster", fmt.Sprint(version), "main", "restart"); err != nil {
				t.Errorf("%d: %v", version, err)
			}
		})
	}
	restarts.Wait()
	f.finishes(t)
	f.loginsOnVersions(t)
}
