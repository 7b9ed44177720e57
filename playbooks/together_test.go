package playbooks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// TestTogether: changes that foresee their effect go out with the next one; what has to be known for certain makes them go out first. Whatever
// happens, every task that began has one end, in the order of the playbook.
func TestTogether(t *testing.T) {
	cases := []struct {
		name, tasks string
		prepare     func(*world)
		// trips after the look, joined by |; told: task and kind.
		trips []string
		told  string
		exit  int
	}{
		{name: "two in one", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y}",
			trips: []string{"lease|set a x|set b y|get b|get a"}, told: "set a changed, set b changed"},
		{name: "three in one", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: ahead}, proved: {key: c, value: good}",
			trips: []string{"lease|set a x|set b y|set c good|get c|get a|get b"}, told: "set a changed, set b changed, set c changed"},
		{name: "the last of a play does not wait", tasks: "put: {key: a, value: x, how: ahead}",
			trips: []string{"lease|set a x|get a"}, told: "set a changed"},
		{name: "one shows its effect itself", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: shows}, put: {key: b, value: y}",
			trips: []string{"lease|set a x|set b y|get b|get a"}, told: "set a changed, set b changed,  ok"},
		{name: "one shows that it has no effect", tasks: "put: {key: b, value: y, how: shows}", prepare: func(w *world) { w.boxes["db1"].stuck["b"] = true },
			trips: []string{"lease|set b y|get b"}, told: "set b failed", exit: 2},
		{name: "the next has nothing to do", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b}, put: {key: c, value: z}",
			trips: []string{"lease|set a x|get a", "set c z|get c"}, told: "set a changed,  ok, set c changed"},
		{name: "the next tries a connection", tasks: "put: {key: a, value: x, how: ahead}, tried: {}",
			trips: []string{"lease|set a x|get a"}, told: "set a changed,  ok"},
		{name: "the next is refused", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: refuse}",
			trips: []string{"lease|set a x|get a"}, told: "set a changed,  failed", exit: 2},
		{name: "the next has a round trip of its own", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: asks}",
			trips: []string{"lease|set a x|set b asked y", "set b y|get b|get a"}, told: "set a changed, set b changed"},
		{name: "the same value again", tasks: "put: {key: a, value: x, how: ahead}, put: {key: a, value: x}, put: {key: b, value: y}",
			trips: []string{"lease|set a x|get a", "set b y|get b"}, told: "set a changed,  ok, set b changed"},
		{name: "foreseen wrongly", tasks: "put: {key: a, value: x, how: mistaken}, put: {key: a, value: x, how: ahead}, put: {key: b, value: y}",
			trips: []string{"lease|set a x|set a x|set b y|get b|get a"}, told: "set a changed, set a changed, set b changed"},
		{name: "overwritten by the next", tasks: "put: {key: a, value: x, how: ahead}, put: {key: a, value: y}",
			trips: []string{"lease|set a x|set a y|get a", "set a x|get a", "set a y|get a"}, told: "set a changed, set a changed"},
		{name: "the first fails", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y}", prepare: func(w *world) { w.boxes["db1"].broken["a"] = true },
			trips: []string{"lease|set a x|set b y|get b|get a"}, told: "set a failed,  skipped", exit: 2},
		{name: "the second fails", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y}", prepare: func(w *world) { w.boxes["db1"].broken["b"] = true },
			trips: []string{"lease|set a x|set b y|get b|get a", "get a"}, told: "set a changed, set b failed", exit: 2},
		{name: "the middle one fails", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: ahead}, put: {key: c, value: z}",
			prepare: func(w *world) { w.boxes["db1"].broken["b"] = true },
			trips:   []string{"lease|set a x|set b y|set c z|get c|get a|get b", "get a"}, told: "set a changed, set b failed,  skipped", exit: 2},
		{name: "the first fails in the second's own round trip", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: asks}",
			prepare: func(w *world) { w.boxes["db1"].broken["a"] = true },
			trips:   []string{"lease|set a x|set b asked y"}, told: "set a failed,  skipped", exit: 2},
		{name: "the second's own round trip fails", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: asks}",
			prepare: func(w *world) { w.boxes["db1"].broken["b asked"] = true },
			trips:   []string{"lease|set a x|set b asked y", "get a"}, told: "set a changed, set b failed", exit: 2},
		{name: "the connection is lost", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y}", prepare: func(w *world) { w.boxes["db1"].lostAt = 2 },
			trips: []string{"lease|set a x|set b y|get b|get a"}, told: "set a unreachable,  skipped", exit: 4},
		{name: "a proof fails", tasks: "put: {key: a, value: x, how: ahead}, proved: {key: b, value: bad}",
			trips: []string{"lease|set a x|set b bad|get b|get a", "set b before|get b"}, told: "set a changed, set b rolled_back", exit: 2},
		{name: "the first does not hold, the second is proved", tasks: "put: {key: a, value: x, how: ahead}, proved: {key: b, value: good}",
			prepare: func(w *world) { w.boxes["db1"].stuck["a"] = true },
			trips:   []string{"lease|set a x|set b good|get b|get a", "set a x|get a", "set b before|get b"}, told: "set a failed, set b rolled_back", exit: 2},
		{name: "the first does not hold, those after it do", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: ahead}, put: {key: c, value: z}",
			prepare: func(w *world) { w.boxes["db1"].stuck["a"] = true },
			trips:   []string{"lease|set a x|set b y|set c z|get c|get a|get b", "set a x|get a"}, told: "set a failed, set b changed, set c changed", exit: 2},
		{name: "the next has a defect", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: panic}",
			trips: []string{"lease|set a x|get a"}, told: "set a changed", exit: 1},
		{name: "stopped", tasks: "put: {key: a, value: x, how: ahead}, put: {key: b, value: y, how: stop}, put: {key: c, value: z}",
			trips: []string{"lease|set a x|set b y|get b|get a"}, told: "set a changed, set b changed", exit: 130},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			out := w.run("plays: [{hosts: db1, tasks: ["+c.tasks+"]}]", PlanOptions{})
			var trips []string
			for _, words := range w.boxes["db1"].trips[1:] {
				if text := strings.Join(words, "|"); text != "release" {
					trips = append(trips, text)
				}
			}
			if diff := cmp.Diff(c.trips, trips); diff != "" {
				t.Error(diff)
			}
			var told []string
			for _, e := range w.events {
				if e.Type == events.Task {
					told = append(told, e.Summary+" "+string(e.Kind))
				}
			}
			if got := strings.Join(told, ", "); got != c.told {
				t.Errorf("told %q, want %q", got, c.told)
			}
			if out.Exit != c.exit {
				t.Errorf("exit %d, want %d", out.Exit, c.exit)
			}
			w.checkEvents(out)
		})
	}
}
