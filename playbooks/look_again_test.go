package playbooks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// TestLookAgain: what somebody else changes during the run is seen by a play that looks again, and by no other.
func TestLookAgain(t *testing.T) {
	for again, want := range map[string]events.Kind{"yes": events.OK, "no": events.Changed} {
		t.Run(again, func(t *testing.T) {
			w := newWorld(t)
			w.told("db1", "first", func(events.Event) {
				w.boxes["db1"].mu.Lock()
				defer w.boxes["db1"].mu.Unlock()
				w.boxes["db1"].values["b"] = "y"
			})
			playbook := fmt.Sprintf(`
plays:
  - {name: first, hosts: db1, tasks: [put: {key: a, value: x}]}
  - {name: second, hosts: db1, look_again: %s, tasks: [put: {key: b, value: y}]}
`, again)
			w.run(playbook, PlanOptions{})
			for _, e := range w.events {
				if e.Type == events.Task && e.Play == "second" && e.Kind != want {
					t.Errorf("the second play ended as %s, want %s", e.Kind, want)
				}
			}
			if text := w.plan(playbook, PlanOptions{}).String(); strings.Contains(text, "looked at anew") != (again == "yes") {
				t.Errorf("the plan says\n%s", text)
			}
		})
	}
	w := newWorld(t)
	w.boxes["db1"].lostAt = 3
	w.run("plays:\n  - {name: first, hosts: db1, tasks: [put: {key: a, value: x}]}\n  - {name: second, hosts: db1, look_again: yes, tasks: [put: {key: a, value: x}]}\n", PlanOptions{})
	if got := w.results(); got != "db1 unreachable" {
		t.Errorf("a connection that breaks at the second look: %s", got)
	}
}
