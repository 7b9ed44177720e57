package playbooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestWaiting: a host that waits for somebody else is not gone on with, but for what prepares it, or, softly, for nothing; nobody else is held.
func TestWaiting(t *testing.T) {
	const playbook = `
plays:
  - {name: one, hosts: db_server, tasks: [put: {key: a, value: x, how: %s, on: db2}, put: {key: b, value: x}, trust: {key: c, value: x}]}
  - {name: two, hosts: db_server, tasks: [put: {key: d, value: x}, trust: {key: e, value: x}]}
  - {name: three, hosts: client, tasks: [put: {key: f, value: x}]}
`
	const others = "db3 changed, db4 changed, app1 changed, app2 changed"
	for _, c := range []struct{ how, results, db2 string }{
		{"waits", "db1 changed, db2 skipped, " + others, "c"},
		{"asked", "db1 changed, db2 skipped, " + others, "a c"},
		{"soft", "db1 changed, db2 changed, " + others, "b c d e"},
	} {
		w := newWorld(t)
		out := w.run(fmt.Sprintf(playbook, c.how), PlanOptions{})
		if got := w.results(); got != c.results || out.Exit != ExitPending {
			t.Errorf("%s: exit %d, hosts:\n got %s\nwant %s", c.how, out.Exit, got, c.results)
		}
		var has []string
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			if w.boxes["db2"].values[key] != "" {
				has = append(has, key)
			}
		}
		if got := strings.Join(has, " "); got != c.db2 {
			t.Errorf("%s: db2 has %s, want %s", c.how, got, c.db2)
		}
		told := 0
		for _, e := range w.events {
			if e.Type == events.Notice && e.Summary == "waiting for 1 answer of authority company" {
				told++
			}
			if e.Type == events.Host && e.Host == "db2" && e.Kind == events.Skipped && !strings.Contains(e.Reason, "waiting for authority company: certificate for db2") {
				t.Errorf("%s: db2: %s", c.how, e.Reason)
			}
		}
		if told != 1 {
			t.Errorf("%s: it was told %d times", c.how, told)
		}
		if again := newWorld(t); again != nil { // a check shows all there is to see, and waits for nobody
			again.opt.Check = true
			if out := again.run(fmt.Sprintf(playbook, c.how), PlanOptions{}); out.Exit != ExitOK || !strings.Contains(again.results(), "db2 would_change") {
				t.Errorf("%s, a check: exit %d, %s", c.how, out.Exit, again.results())
			}
		}
	}
}

// TestWaitingCounts: how much is waited for is what `pgfleet authority requests` lists, also what no task of this run was the first to miss.
func TestWaitingCounts(t *testing.T) {
	const playbook = `plays: [{name: one, hosts: db_server, tasks: [put: {key: a, value: x, how: soft, on: db2}]}]`
	w := newWorld(t)
	all := map[string]pki.Authority{"company": {Name: "company", Offline: true, Subject: "CN=Company", Desk: t.TempDir()}}
	w.inv.Authorities = all
	parties, err := tasks.Parties(all)
	if err != nil {
		t.Fatal(err)
	}
	asks, err := parties[0].Asks(w.now)
	if err != nil || !asks.Own || len(asks.Lists) != 1 || asks.Count() != 2 {
		t.Fatalf("asked are %+v, %v", asks, err)
	}
	w.run(playbook, PlanOptions{})
	if !slices.ContainsFunc(w.events, func(e events.Event) bool { return e.Summary == "waiting for 2 answers of authority company" }) {
		t.Errorf("told was %v", w.events)
	}
}
