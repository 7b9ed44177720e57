package playbooks

import (
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// A play in batches comes to standbys before the server that they replicate from, the furthest first; otherwise the order stays.
func TestStandbysBeforeTheirPrimary(t *testing.T) {
	w := newWorld(t)
	w.opt.Forks = 1
	r := newRunner(w.plan("plays: [{name: servers, hosts: db_server, serial: 1, tasks: [put: {key: a, value: x}]}]", PlanOptions{}), w.opt, w.ca)
	r.each(w.ctx, r.order, r.lookAt)
	for name, depth := range map[string]int{"db1": 0, "db2": 1, "db3": 2, "db4": 1} {
		r.hosts[name].depth = depth
	}
	newSchedule(r).run(w.ctx)
	var got []string
	for _, e := range w.events {
		if e.Type == events.TaskStarted {
			got = append(got, e.Host)
		}
	}
	if want := "db3 db2 db4 db1"; strings.Join(got, " ") != want {
		t.Errorf("the order was %q, want %q", strings.Join(got, " "), want)
	}
}
