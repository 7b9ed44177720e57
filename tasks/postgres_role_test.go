package tasks

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

func TestRolesOfIdentities(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("p'ä ß\\\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := &Host{Name: "app1", Address: "10.1.2.3", Roles: []string{"client"}, Servers: []string{"db1"}, View: &View{}, Fleet: p.host.Fleet,
		Identities: []Identity{{OSUser: "app", DBUser: `od"d; name'`, Password: map[string]any{"file": secret}}, {OSUser: "app", DBUser: "plain"}}}
	p.host.Fleet.Hosts["app1"] = client
	p.sql(`alter system set shared_preload_libraries = pg_stat_statements`)
	p.Shell("pg_ctlcluster 15 main restart")
	p.sql(`create extension pg_stat_statements`)
	p.sql(`create role plain nologin createdb`)
	p.sql(`alter system set log_statement = 'all'`)
	p.sql(`select pg_reload_conf()`)
	task := &postgresRole{Password: "once"}
	p.must(true, task)
	p.must(false, task)
	if got := p.sql("select rolname, rolcanlogin, rolcreatedb, rolpassword ~ '^SCRAM-SHA-256[$]4096:' from pg_authid where rolname !~ '^p[go]' order by 1"); got !=
		`od"d; name'|t|f|t`+"\nplain|t|t|" && got != `od"d; name'|t|f|t` {
		t.Errorf("%q", got)
	}
	if got := p.sql("select rolcanlogin, rolcreatedb from pg_authid where rolname = 'plain'"); got != "t|t" {
		t.Error(got)
	}
	// The password works, over the method that wants SCRAM, and nothing of it is in the log.
	got := p.Shell(`PGPASSWORD="$1" /usr/lib/postgresql/15/bin/psql -XAtqc 'select current_user' "host=127.0.0.1 dbname=postgres user='od\"d; name\\''"`, "p'ä ß\\")
	if got != `od"d; name'` {
		t.Errorf("%q", got)
	}
	if log := p.ReadFile("/var/log/postgresql/postgresql-15-main.log"); strings.Contains(log, "SCRAM-SHA-256$4096:") {
		t.Error("a verifier is in the server's log")
	}
	if kept := p.sql("select count(*) filter (where query like '%SCRAM-SHA-256$4096:%'), count(*) > 0 from pg_stat_statements where query !~ 'pg_stat_statements'"); kept != "0|t" {
		t.Errorf("a verifier is among the statistics: %s", kept)
	}

	client.Identities = []Identity{{OSUser: "app", DBUser: "postgres"}}
	p.refused(task, "superuser", "allow_privileged")
	client.Identities = nil
	p.host.Fleet.Authorities["clients"] = pki.Authority{Name: "clients"}
	p.sql(`create role "pgfleet-canary-good"`)
	p.refused(task, "pgfleet-canary-good", "test certificate")
}

// The example of RFC 7677, 3.
func TestScramVerifier(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	got, err := scramVerifierSalted("pencil", salt, 4096)
	if want := "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="; err != nil || got != want {
		t.Errorf("%s %v", got, err)
	}
	for _, bad := range []string{"a\x00b", "a\u200bb", "a\nb", "\xff"} {
		if _, err := scramVerifier(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestSecretReferences(t *testing.T) {
	t.Setenv("PGFLEET_TEST_SECRET", "from env\n")
	for _, c := range []struct {
		ref  map[string]any
		want string
	}{
		{map[string]any{"env": "PGFLEET_TEST_SECRET"}, "from env"},
		{map[string]any{"command": []any{"printf", `from %s\n\n`, "command"}}, "from command\n"},
		{map[string]any{"env": "PGFLEET_TEST_UNSET"}, ""}, {map[string]any{"file": "/nonexistent"}, ""}, {map[string]any{"command": []any{"false"}}, ""},
		{map[string]any{"vault": "x"}, ""}, {map[string]any{"env": "A", "file": "B"}, ""}, {map[string]any{}, ""},
	} {
		got, err := readSecret(t.Context(), c.ref)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: %q %v", c.ref, got, err)
		}
	}
}
