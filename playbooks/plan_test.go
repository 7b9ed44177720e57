package playbooks

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/inventory"
)

// TestPrecedence: inventory, then playbook, then play, then the command line.
func TestPrecedence(t *testing.T) {
	const playbook = `
vars: {%s}
plays: [{hosts: db1, vars: {%s}, tasks: [put: {key: a, value: "{{ greeting }}"}]}]`
	cases := []struct {
		playbook, play string
		line           map[string]any
		want           string
	}{
		{"x: y", "x: y", nil, "hello"},
		{"greeting: book", "x: y", nil, "book"},
		{"greeting: book", "greeting: play", nil, "play"},
		{"greeting: book", "greeting: play", map[string]any{"greeting": "line"}, "line"},
		{"greeting: 'to {{ host }}'", "x: y", nil, "to db1"},
	}
	for _, c := range cases {
		plan := newWorld(t).plan(fmt.Sprintf(playbook, c.playbook, c.play), PlanOptions{Vars: c.line})
		if got := plan.Plays[0].Tasks["db1"][0].Task.(*put).Value; got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestPlanMistakes(t *testing.T) {
	cases := []struct {
		name, playbook string
		opt            PlanOptions
		want           []string
	}{
		{"an undefined variable, once for all hosts", "plays:\n- hosts: db_server\n  tasks:\n  - put:\n      key: a\n      value: '{{ greting }}'\n", PlanOptions{},
			[]string{"test.yaml:6: put: value: variable \"greting\" is not defined; did you mean greeting? (or give a default: {{ greting | default('…') }}) (host db1 and 3 more)"}},
		{"a value that a variable brings", "plays:\n- hosts: db1\n  tasks:\n  - put: {key: a, how: '{{ how | default(odd) }}'}\n", PlanOptions{},
			[]string{`test.yaml:4: put: how: "odd" is not one of plain, sign, pending, refuse, panic, stubborn, then, stop, cancel, unanswered, ahead, mistaken, shows, asks, relies, waits, soft, asked (host db1)`}},
		{"a role that the hosts lack", "plays:\n- {hosts: client, tasks: [db: {key: a}]}\n", PlanOptions{}, []string{"test.yaml:2: db is for hosts of role db_server (host app1 and 1 more)"}},
		{"a pattern that means nothing", "plays:\n- {name: p, hosts: bd1, tasks: [tried: ]}\n", PlanOptions{}, []string{`test.yaml:2: play "p": hosts: pattern "bd1": no host, group or role is called bd1`}},
		{"a tag that nothing has", "plays: [{hosts: db1, tags: cert, tasks: [tried: ]}]", PlanOptions{Tags: []string{"certs"}},
			[]string{`test.yaml: no play or task has the tag "certs"; did you mean cert?; there are: cert`}},
		{"a variable that nothing uses", "vars: {enforce: cert}\nplays: [{hosts: db1, tasks: [tried: ]}]", PlanOptions{Vars: map[string]any{"enforc": 1}},
			[]string{`test.yaml: nothing uses the variable "enforc" of the command line; did you mean enforce?`}},
		{"a limit that means nothing", "plays: [{hosts: db1, tasks: [tried: ]}]", PlanOptions{Limit: "nobody"}, []string{`limit: pattern "nobody": no host, group or role is called nobody`}},
		{"a limit that leaves nobody", "plays: [{hosts: db1, tasks: [tried: ]}]", PlanOptions{Limit: "db2"}, []string{`test.yaml: nothing to do: no host is chosen (limit "db2")`}},
		{"serial and max_failures by variables", "max_failures: '{{ m }}'\nvars: {m: lots, s: 0}\nplays:\n- {name: p, hosts: db1, serial: '{{ s }}', tasks: [tried: ]}", PlanOptions{},
			[]string{`test.yaml:1: max_failures: "lots" is not a whole number from 0`, `test.yaml:4: play "p": serial: "0" is neither`}},
		{"serial by a variable that is an empty list", "plays:\n- {name: p, hosts: db1, serial: '{{ s }}', tasks: [tried: ]}", PlanOptions{Vars: map[string]any{"s": []any{}}},
			[]string{`test.yaml:2: play "p": serial: is an empty list`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			pb, err := parse("test.yaml", []byte(c.playbook), w.kinds)
			if err != nil {
				t.Fatal(err)
			}
			_, err = NewPlan(pb, w.inv, c.opt)
			var problems inventory.Problems
			if !errors.As(err, &problems) || len(problems) != len(c.want) {
				t.Fatalf("got %v", err)
			}
			for i, line := range strings.Split(err.Error(), "\n") {
				if !strings.Contains(line, c.want[i]) {
					t.Errorf("got  %s\nwant %s", line, c.want[i])
				}
			}
		})
	}
}

// TestParentsFirst: hosts come in the order of the inventory, but holders of authorities after those above them.
func TestParentsFirst(t *testing.T) {
	w := newWorld(t)
	inv, err := inventory.Parse("i", []byte(`
hosts:
  db1: {roles: [db_server]}
  low: {roles: [intermediate_ca]}
  mid: {roles: [intermediate_ca]}
  top: {roles: [root_ca]}
  db2: {roles: [db_server]}
authorities:
  l: {host: low, issuer: m, subject: "CN=l", valid_for: 365d}
  m: {host: mid, issuer: t, subject: "CN=m", valid_for: 730d}
  t: {host: top, subject: "CN=t", valid_for: 3650d}
`), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	w.inv = inv
	plan := w.plan("plays: [{hosts: all, serial: 2, tasks: [put: {key: a}]}]", PlanOptions{})
	want := [][]string{{"db1", "top"}, {"db2", "mid"}, {"low"}}
	if diff := cmp.Diff(want, plan.Plays[0].Batches); diff != "" {
		t.Error(diff)
	}
}

func TestBatchSize(t *testing.T) {
	for _, c := range []struct {
		serial      string
		hosts, want int
	}{{"", 7, 7}, {"", 0, 1}, {"3", 7, 3}, {"25%", 8, 2}, {"25%", 7, 1}, {"1%", 7, 1}, {"100%", 7, 7}, {"100", 7, 100}, {" 5 ", 7, 5},
		{"0", 7, 0}, {"-1", 7, 0}, {"101%", 7, 0}, {"0%", 7, 0}, {"x", 7, 0}, {"%", 7, 0}, {"1.5", 7, 0}, {"999999999999999999999", 7, 0}} {
		got, err := batchSize(c.serial, c.hosts)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("serial %q of %d hosts: %d, %v", c.serial, c.hosts, got, err)
		}
	}
}

const taggedPlaybook = `
name: All of it
plays:
  - {name: servers, hosts: db_server, serial: 3, tags: [s], tasks: [put: {key: a, value: "{{ host }}"}, {tried: , tags: [v]}]}
  - {name: clients, hosts: client, tasks: [{put: {key: b, value: two words}, name: "Say it", tags: v}, tried: ]}
`

// TestPlanString: golden texts of the whole plan, a limited one and one chosen by tag.
func TestPlanString(t *testing.T) {
	for _, c := range []struct {
		file string
		opt  PlanOptions
	}{{"whole", PlanOptions{}}, {"limit", PlanOptions{Limit: "app2"}}, {"tag", PlanOptions{Tags: []string{"v"}}}} {
		got := newWorld(t).plan(taggedPlaybook, c.opt).String()
		golden(t, "testdata/plan/"+c.file+".txt", got)
	}
}

// golden compares with a file; PGFLEET_UPDATE=1 writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("PGFLEET_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", file, diff)
	}
}

// TestLook: hosts that support others are looked at for what those want to know of them.
func TestLook(t *testing.T) {
	w := newWorld(t)
	plan := w.plan(taggedPlaybook, PlanOptions{Limit: "app2"})
	if out, err := run(w.ctx, plan, w.opt, w.ca); err != nil || out.Exit != 0 {
		t.Fatal(err, out)
	}
	want := map[string][]string{"ca1": {"date +%s", "get ca"}, "db2": {"get postgres"}, "app2": {"date +%s", "get b"}}
	for name, b := range w.boxes {
		var got []string
		if len(b.trips) > 0 {
			got = b.trips[0]
		}
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := w.results(); got != "app2 changed" {
		t.Errorf("results: %s", got)
	}
}

func TestAdHoc(t *testing.T) {
	w := newWorld(t)
	plan, err := adHoc(w.inv, "put", map[string]any{"key": "a", "value": "{{ host }}"}, "db_server:!db3", PlanOptions{}, w.kinds)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(w.ctx, plan, w.opt, w.ca); err != nil || out.Exit != 0 || w.boxes["db2"].values["a"] != "db2" || len(w.boxes["db3"].trips) != 0 {
		t.Errorf("%v %+v", err, out)
	}
	for _, c := range []struct {
		kind   string
		values map[string]any
		want   string
	}{
		{"putt", nil, `task putt: there is no kind of task "putt"; did you mean put?`},
		{"put", nil, "key: is required"},
		{"put", map[string]any{"key": "a", "vlue": "b"}, "did you mean value?"},
	} {
		if _, err := adHoc(w.inv, c.kind, c.values, "", PlanOptions{}, w.kinds); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
}

// A list of sizes begins with the first, and goes on with the last; it may come from a variable or the command line.
func TestSerialList(t *testing.T) {
	w := newWorld(t)
	nine, err := inventory.Parse("inventory.yaml", []byte("hosts: {\"db[1:9]\": {roles: [db_server]}}"), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	w.inv = nine
	for _, c := range []struct {
		playbook string
		vars     map[string]any
		want     string
	}{
		{"plays: [{hosts: db_server, serial: [1, 25%], tasks: [tried: ]}]", nil, "1 2 2 2 2"},
		{"plays: [{hosts: db_server, serial: [1, 3], tasks: [tried: ]}]", nil, "1 3 3 2"},
		{"vars: {s: [2, 4, 1]}\nplays: [{hosts: db_server, serial: '{{ s }}', tasks: [tried: ]}]", nil, "2 4 1 1 1"},
		{"vars: {s: [1, 25%]}\nplays: [{hosts: db_server, serial: '{{ s }}', tasks: [tried: ]}]", map[string]any{"s": "1,50%"}, "1 4 4"},
		{"plays: [{hosts: db_server, serial: [20], tasks: [tried: ]}]", nil, "9"},
	} {
		plan := w.plan(c.playbook, PlanOptions{Vars: c.vars})
		var sizes []string
		for _, batch := range plan.Plays[0].Batches {
			sizes = append(sizes, fmt.Sprint(len(batch)))
		}
		if got := strings.Join(sizes, " "); got != c.want {
			t.Errorf("%s: batches of %s, want %s", c.playbook, got, c.want)
		}
	}
	for _, serial := range []string{"[1, 0]", "[]", "[1, x%]", "'1,,2'"} {
		if _, err := parse("test.yaml", []byte("plays: [{hosts: all, serial: "+serial+", tasks: [tried: ]}]"), w.kinds); err == nil {
			t.Errorf("serial %s is accepted", serial)
		}
	}
}
