package tasks

import (
	"strings"
	"testing"
)

// A setting is taken out of our file again: the user's own line, or PostgreSQL's default, counts as before. Undo brings it back.
func TestSettingsTakenOut(t *testing.T) {
	p := newPGHost(t)
	p.host.Fleet.CA = testCAs{}
	p.Shell(`echo "work_mem = '5MB'" >>/etc/postgresql/15/main/postgresql.conf`)
	p.sql("select pg_reload_conf()")
	reload := &postgresReload{WithProof: true}
	p.must(true, &postgresSettings{Settings: map[string]string{"work_mem": "8MB", "log_line_prefix": "x ", "max_connections": "50", "ssl_min_protocol_version": "TLSv1.3"}})
	p.must(true, reload)
	if got := p.sql("show work_mem"); got != "8MB" {
		t.Fatal(got)
	}
	ours := p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf")
	p.host.Fleet.Run = "next"

	out := &postgresSettings{Absent: []string{"work_mem", "log_line_prefix", "max_connections", "ssl_min_protocol_version", "vacuum_cost_delay"}, Settings: map[string]string{"ssl_ciphers": "HIGH"}}
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	change, err := out.Check(t.Context(), p.host)
	if err != nil || change == nil || change.Summary != "set ssl_ciphers and take out work_mem, log_line_prefix, max_connections, ssl_min_protocol_version for cluster 15/main (max_connections takes effect when the server is restarted)" ||
		!strings.Contains(change.Diff, "-work_mem = '8MB'\n") || !strings.Contains(change.Diff, "+ssl_ciphers = 'HIGH'\n") {
		t.Fatalf("%v, %+v", err, change)
	}
	p.must(true, out)
	p.must(false, out)
	if got := p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); strings.Contains(got, "work_mem") || !strings.Contains(got, "ssl_ciphers = 'HIGH'") {
		t.Error(got)
	}
	p.must(true, reload)
	p.must(false, reload)
	for name, want := range map[string]string{"work_mem": "5MB", "log_line_prefix": "%m [%p] %q%u@%d ", "ssl_min_protocol_version": "TLSv1.2"} {
		if got := p.sql("show " + name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	p.restarts("main")
	if got := p.sql("show max_connections"); got != "100" {
		t.Error(got)
	}
	p.must(false, reload)

	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	back, err := RollbackSteps(p.host, "next")
	if err != nil {
		t.Fatal(err)
	}
	p.do(back...)
	if got := p.ReadFile("/etc/pgfleet/15-main/pgfleet.conf"); got != ours {
		t.Errorf("after going back:\n%s\nwant\n%s", got, ours)
	}
}

func TestSettingsThatStay(t *testing.T) {
	kind, _ := Lookup("postgres_settings")
	for text, values := range map[string]map[string]any{
		"absent: work_mem is set beside it":                                {"work_mem": "8MB", "absent": "work_mem"},
		"absent: ssl: say ssl: off":                                        {"absent": []any{"ssl"}},
		"absent: ssl_cert_file is kept by the tasks certificate and trust": {"absent": []any{"ssl_cert_file"}},
		"absent: Work_Mem is written in lower case":                        {"absent": []any{"Work_Mem"}},
		`absent: "a b" is not the name of a setting`:                       {"absent": []any{"a b"}},
		"no setting is given":                                              {"absent": []any{}},
		"work_mem: has no value":                                           {"work_mem": nil},
	} {
		_, errs := Decode(kind, values)
		if len(errs) == 0 || !strings.Contains(errs[0].Error(), text) {
			t.Errorf("%v: %v, want %q", values, errs, text)
		}
	}
}
