package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/cmd"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// own is the folder of dbuser1's versions on a client.
const own = "/var/lib/postgresql/.postgresql/pgfleet/dbuser1/v"

// certs is pgfleet certs as somebody would see it at another time.
type certs struct {
	*fleet
	ahead time.Duration
}

// run gives exit code, standard output and standard error.
func (c certs) run(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := cmd.Main(c.line(append([]string{"certs"}, args...)), &cmd.System{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" },
		Now:        func() time.Time { return time.Now().Add(c.ahead) },
		Size:       func(any) (int, int, bool) { return 0, 0, false },
		ReadSecret: func(func()) ([]byte, error) { return nil, errors.New("no terminal") }})
	return code, out.String(), errs.String()
}

// rows gives what -o json prints.
func (c certs) rows(t *testing.T, code int, args ...string) []survey.Row {
	t.Helper()
	got, out, errs := c.run(t, append(args, "-o", "json")...)
	if got != code {
		t.Fatalf("exit %d, want %d:\n%s%s", got, code, out, errs)
	}
	var rows []survey.Row
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return rows
}

// finds sees that what is wrong is this and nothing else: "host kind state", for every finding.
func (c certs) finds(t *testing.T, what string, want ...string) []survey.Row {
	t.Helper()
	rows := c.rows(t, 0)
	var got []string
	for _, r := range rows {
		for _, f := range r.Findings {
			got = append(got, fmt.Sprintf("%s %s %s", strings.TrimSuffix(r.Host, ".example.net"), r.Kind, f.State))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: found\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		for _, r := range rows {
			for _, f := range r.Findings {
				t.Logf("%s %s %s: %s", r.Host, r.Path, f.State, f.Reason)
			}
		}
	}
	return rows
}

// TestCerts breaks one thing after the other on a fleet that is as it should be, and sees each of them, and nothing else, in pgfleet certs.
func TestCerts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 2}).with(t, "[dbuser1]", "[{user: dbuser1, default: true}]") // app1's has libpq's default files too
	c := certs{fleet: f}
	f.want(t, 0, nil, "run", shipped, "--verify", "none")
	rows := c.finds(t, "as it should be")
	if n := len(rows); n != 29 { // a server: pair, authority, list; a client: pair and two authorities, app1 twice; an authority: pair and list
		t.Errorf("%d rows", n)
	}
	t.Run("later", func(t *testing.T) { certsLater(t, f) })
	t.Run("one of many", func(t *testing.T) { certsOne(t, c, rows) })
	t.Run("orphans", func(t *testing.T) { certsOrphans(t, c) })

	var wrong []string
	breaks := func(what string, want []string, do func()) {
		do()
		wrong = append(wrong, want...)
		c.finds(t, what, wrong...)
	}
	breaks("a new certificate that the server was not told of", []string{"db1 certificate not_served"}, func() {
		f.want(t, 0, nil, "task", "certificate", "-l", "db1.example.net", "issuer=servers", "profile=server", "force=yes")
	})
	breaks("a key that others may read", []string{"app1 key wrong_mode"}, func() { f.sh(t, "app1", "chmod 644 "+own+"/*/client.key") })
	breaks("a copy is gone", []string{"app1 key missing"}, func() { f.sh(t, "app1", "rm /var/lib/postgresql/.postgresql/postgresql.key") })
	breaks("the rules are gone", []string{"db1 rules rules_lost"}, func() { f.sh(t, "db1", "sed -i '/^# BEGIN pgfleet/,/^# END pgfleet/d' "+hba) })
	breaks("another key", []string{"app2 certificate key_mismatch"}, func() {
		f.sh(t, "app2", "cd "+own+"/*; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | runuser -u postgres -- tee client.key >/dev/null")
	})
	breaks("revoked by hand", []string{"ca1 authority records_differ"}, func() {
		f.sh(t, "ca1", "cd /etc/pgfleet/ca/clients; openssl ca -config openssl.cnf -revoke $(grep -l '^host app1.example.net' issued/*) 2>/dev/null")
	})
	breaks("and taken over by its authority", []string{"app1 certificate revoked", "app1 certificate revoked", "db1 list records_differ", "db2 list records_differ"}, func() {
		f.want(t, 0, nil, "task", "authority", "-l", "ca1.example.net")
		wrong = slices.DeleteFunc(wrong, func(s string) bool { return s == "ca1 authority records_differ" })
	})
	breaks("the settings are not included any more", []string{"db2 settings include_lost", "db2 certificate not_ours", "db2 certificate not_served", "db2 certificate not_trusted"}, func() {
		f.sh(t, "db2", "sed -i /pgfleet/d /etc/postgresql/15/main/postgresql.conf")
		wrong = slices.DeleteFunc(wrong, func(s string) bool { return s == "db2 list records_differ" }) // what it had is nothing that it will have
	})
	breaks("no list", []string{"db1 list list_missing", "app1 certificate not_trusted", "app1 certificate not_trusted", "app2 certificate not_trusted"}, func() {
		f.sh(t, "db1", "rm /etc/pgfleet/15-main/crl-*")
		wrong = slices.DeleteFunc(wrong, func(s string) bool { return s == "db1 list records_differ" })
	})
	if code, out, _ := c.run(t, "--fail-within", "1d"); code != 8 || !strings.Contains(out, ": 2 revoked, 1 key does not match, ") {
		t.Errorf("exit %d:\n%s", code, out)
	}

	f.want(t, 0, nil, "run", shipped, "--verify", "none")
	f.sh(t, "app1", "chmod 600 "+own+"/*/client.key") // the revoked version's
	c.finds(t, "after another run")

	f.sh(t, "db2", "pg_ctlcluster 15 main stop -m fast")
	if code, _, errs := c.run(t); code != 0 || !strings.Contains(errs, "notice: db2.example.net: cluster 15/main is not running: ") || strings.Contains(errs, "db1") {
		t.Errorf("a server that is not running: exit %d:\n%s", code, errs)
	}
	if err := f.lab.Stop(t.Context(), "app2"); err != nil {
		t.Fatal(err)
	}
	rows = c.rows(t, 4, "--connect-timeout", "3s")
	if n := slices.IndexFunc(rows, func(r survey.Row) bool { return r.Kind == survey.KindHost }); n != 0 || rows[0].Host != "app2.example.net" || rows[0].State != survey.Unlooked || len(rows) < 20 {
		t.Errorf("%d rows, the first is %+v", len(rows), rows[0])
	}
}

// certsLater looks at the same fleet from months and years later.
func certsLater(t *testing.T, f *fleet) {
	day := 24 * time.Hour
	due := []string{"app1 certificate renew_soon", "app1 certificate renew_soon", "app2 certificate renew_soon", "db1 certificate renew_soon", "db2 certificate renew_soon"}
	certs{f, 300 * day}.finds(t, "300 days later", due...)
	for i, s := range due {
		due[i] = strings.Replace(s, "renew_soon", "expired", 1)
	}
	certs{f, 400 * day}.finds(t, "400 days later", due...)
	for _, c := range []struct {
		ahead  time.Duration
		within string
		code   int
	}{{0, "30d", 0}, {340 * day, "20d", 0}, {340 * day, "30d", 8}} {
		if code, out, _ := (certs{f, c.ahead}).run(t, "--fail-within", c.within); code != c.code {
			t.Errorf("in %s, --fail-within %s: exit %d, want %d:\n%s", c.ahead, c.within, code, c.code, out)
		}
	}
}

// certsOne limits, and explains one file.
func certsOne(t *testing.T, c certs, all []survey.Row) {
	for _, r := range c.rows(t, 0, "-l", "db1.example.net") {
		if r.Host != "db1.example.net" || r.State != survey.OK {
			t.Errorf("-l db1: %+v", r)
		}
	}
	i := slices.IndexFunc(all, func(r survey.Row) bool { return r.Host == "db1.example.net" && r.Kind == survey.KindCertificate })
	code, out, _ := c.run(t, "show", all[i].Host+":"+all[i].Path)
	for _, want := range []string{"certificate of 15/main (db_server), in force\n", "serial:      " + all[i].Serial, "state:       ok\n", ", when two thirds of its life are over\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("show: exit %d, no %q in:\n%s", code, want, out)
		}
	}
	nobody := certs{fleet: c.with(t, "{postgres: [{user", "{nobodyhere: [{user")}
	if rows := nobody.rows(t, 2, "-l", "app1.example.net"); len(rows) != 1 || rows[0].State != survey.Unlooked || !strings.Contains(rows[0].Findings[0].Reason, "does that user exist there?") {
		t.Errorf("an OS user who is not there: %+v", rows)
	}
	if code, _, errs := c.run(t, "show", "db1.example.net:/etc/motd"); code != 2 || !strings.Contains(errs, "no certificate, key or list is known at db1.example.net:/etc/motd") {
		t.Errorf("show of nothing: exit %d: %s", code, errs)
	}
}

// certsOrphans takes a client out of the inventory.
func certsOrphans(t *testing.T, c certs) {
	if code, out, _ := c.run(t, "--orphans"); code != 0 || !strings.HasPrefix(out, "no orphans: ") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	text := labInventory(t, c.inventory)
	begin, end := strings.Index(text, "  app2.example.net:"), strings.Index(text, "\nauthorities:")
	without := c.with(t, text[begin:end], "")
	rows := certs{fleet: without}.rows(t, 0, "--orphans")
	if len(rows) != 1 || rows[0].State != survey.Orphan || rows[0].Host != "ca1.example.net" || rows[0].Findings[0].Reason != "issued for app2.example.net, which is not in the inventory" {
		t.Errorf("orphans: %+v", rows)
	}
	if issued := labtest.Exec(t, c.lab, "ca1", "cat", rows[0].Path); !strings.Contains(issued, "host app2.example.net") {
		t.Errorf("%s is\n%s", rows[0].Path, issued)
	}
}

func labInventory(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
