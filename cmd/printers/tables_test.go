package printers

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

func TestHosts(t *testing.T) {
	rows := []HostRow{
		{Host: "db1", Address: "10.0.0.1", Port: 22, User: "ops", Roles: []string{"db_server"}, Ping: &Ping{OK: true, ConnectMS: 31, FirstLookMS: 4, ActsAs: "root", OpenSSL: "3.0.15", Psql: "15.8"}},
		{Host: "db2", Address: "10.0.0.2", Port: 2222, User: "ops", Roles: []string{"db_server", "client"}, Ping: &Ping{Error: "host key not accepted\nreally", Hint: "pgfleet trust db2"}},
		{Host: "ca1", Address: "ca1", Port: 22, User: "ops", Ping: &Ping{OK: true, ConnectMS: 8, FirstLookMS: 3, ActsAs: "root", OpenSSL: "1.1.1w"}},
	}
	var out bytes.Buffer
	Hosts(&out, Style{}, rows, true)
	golden(t, "testdata/hosts.ping.golden", out.Bytes())
	out.Reset()
	Hosts(&out, Style{}, rows, false)
	golden(t, "testdata/hosts.golden", out.Bytes())
}

func TestKeys(t *testing.T) {
	var out bytes.Buffer
	Keys(&out, Style{}, []HostKeys{
		{Host: "db1", Address: "db1", Keys: []HostKey{{"ssh-ed25519", "SHA256:aaa", KeyNew}, {"ssh-rsa", "SHA256:bbb", KeyRecorded}}},
		{Host: "db2", Address: "[db2]:2222", Keys: []HostKey{{"ssh-ed25519", "SHA256:ccc", KeyChanged}}},
		{Host: "db3", Address: "db3", Error: "connection refused", Hint: "is it on?"},
	})
	golden(t, "testdata/keys.golden", out.Bytes())
}

func TestExec(t *testing.T) {
	results := []ExecResult{
		{Host: "db1", Kind: events.OK, Stdout: "line 1\nline 2\n\x1b[31mred\n"},
		{Host: "db2", Kind: events.OK},
		{Host: "db3", Kind: events.Failed, Code: 3, Stdout: "half", Stderr: "no such file\n"},
		{Host: "db4", Kind: events.Failed, Code: 124, Error: "time limit reached"},
		{Host: "db5", Kind: events.Unreachable, Code: -1, Error: "host unreachable: db5:22", Hint: "is it on?"},
	}
	for _, format := range []string{"text", "json", "jsonl"} {
		var out bytes.Buffer
		x := NewExec(&out, Style{}, format)
		for _, r := range results {
			x.Result(r)
		}
		if err := x.Finish(); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/exec."+format+".golden", out.Bytes())
	}
}

// Checks of one identity on one server that found the same share a paragraph.
func TestDifferencesAreGrouped(t *testing.T) {
	cell := func(server, check, want string) tasks.Cell {
		return tasks.Cell{Client: "app1", Server: server, Identity: "app/shop", Check: check, Want: want, Got: "cannot connect", Detail: "Connection refused", Via: "psql"}
	}
	var out strings.Builder
	Matrix(&out, Style{}, []tasks.Cell{cell("db1", "login", "connects"), cell("db1", "no-tls", "refused: pg_hba.conf"), cell("db2", "login", "connects")}, 0)
	want := `client  db1            db2
app1    2 of 2 differ  1 of 1 differ

  differs     app1 as app/shop -> db1  login, no-tls
              wanted: connects, refused: pg_hba.conf
              found:  cannot connect
              Connection refused (psql)
  differs     app1 as app/shop -> db2  login
              wanted: connects
              found:  cannot connect
              Connection refused (psql)

3 checks: 0 as wanted, 3 differ, 0 not proven
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// What a large fleet of which each client uses one server prints grows with the pairs in use, not with clients times servers.
func TestLargeMatrixIsAList(t *testing.T) {
	print := func(servers int) string {
		var cells []tasks.Cell
		for i := range 5 * servers {
			cells = append(cells, tasks.Cell{Client: fmt.Sprintf("app%d", i), Server: fmt.Sprintf("db%d", i/5), Check: "login", OK: true})
		}
		var out strings.Builder
		Matrix(&out, Style{}, cells, 0)
		return out.String()
	}
	if got := print(4); !strings.HasPrefix(got, "client  db0     db1     db2     db3\napp0    ok 1/1  -       -       -\n") {
		t.Errorf("a small one: %s", got)
	}
	large := print(100)
	if !strings.HasPrefix(large, "client  server  checks\napp0    db0     ok 1/1\n") || strings.Count(large, "\n") != 503 {
		t.Errorf("a large one: %d lines: %.200s", strings.Count(large, "\n"), large)
	}
}

// On a terminal a story that is too long for a line goes on below its beginning; where nothing is known of a width it stays one line.
func TestStoriesAreWrapped(t *testing.T) {
	opt := Options{Width: 60, HostWidth: 4}
	got := opt.story(events.Skipped, "ca1, ca2, ca3, db1, db2, app1", "not gone on with: db2 unreachable, and max_failures is 0") +
		opt.hint("repair that host, leave it out with -l, or go on in spite of it with --max-failures")
	want := `  skipped       ca1, ca2, ca3, db1, db2, app1
                not gone on with: db2 unreachable, and
                max_failures is 0
                hint: repair that host, leave it out with
                      -l, or go on in spite of it with
                      --max-failures
`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	opt.Width = 0
	if got := opt.story(events.Skipped, "a", "because"); got != "  skipped       a     because\n" {
		t.Errorf("%q", got)
	}
}
