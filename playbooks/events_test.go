package playbooks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// TestEventsGolden: the JSON lines of whole runs, one host after the other.
func TestEventsGolden(t *testing.T) {
	for _, c := range []struct {
		file, playbook string
		prepare        func(*world)
	}{
		{"changed", `
name: Two plays
plays:
  - {name: one, hosts: db1, tasks: [{put: {key: a, value: x}, name: Set it}, put: {key: b, value: y, how: sign}]}
  - {name: two, hosts: app1, tasks: [tried: {}]}`, func(w *world) { w.ca = newPairCA(1) }},
		{"check", `
plays:
  - {name: one, hosts: db1, tasks: [put: {key: a, value: x}, put: {key: b, how: pending}, put: {key: c}, tried: {}]}`,
			func(w *world) { w.opt.Check, w.opt.DetailedExit = true, true }},
		{"trouble", `
name: Trouble
max_failures: 9
plays:
  - {name: one, hosts: "db_server", serial: 1, tasks: [put: {key: a, value: x, how: refuse, on: db1}, proved: {key: b, value: "{{ v }}"}]}
  - {name: two, hosts: client, tasks: [tried: {differs: app2}]}
vars: {v: bad}`, func(w *world) {
			w.boxes["db3"] = nil
			w.boxes["db4"].held = &LockedError{Run: "r0", Owner: "bob@desk", Since: w.now, Until: w.now.Add(time.Minute)}
			w.boxes["app1"].clock = func() time.Time { return w.now.Add(time.Hour) }
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			w := newWorld(t)
			w.opt.Forks = 1
			c.prepare(w)
			w.run(c.playbook, PlanOptions{})
			var b strings.Builder
			for _, e := range w.events {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%s\n", line)
			}
			golden(t, "testdata/events/"+c.file+".jsonl", b.String())
			wellFormed(t, w.events)
		})
	}
}

// wellFormed holds each event against what its schema requires by type.
func wellFormed(t *testing.T, list []events.Event) {
	t.Helper()
	var schema struct {
		AllOf []struct {
			If struct {
				Properties struct {
					Type struct {
						Const events.Type
						Enum  []events.Type
					}
				}
			}
			Then struct {
				Required   []string
				Properties struct {
					Data struct {
						Required   []string
						Properties map[string]any
					}
				}
			}
		}
	}
	if err := json.Unmarshal(events.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		data, _ := got["data"].(map[string]any)
		known := map[string]bool{}
		for _, rule := range schema.AllOf {
			applies := rule.If.Properties.Type.Const == e.Type
			for _, other := range rule.If.Properties.Type.Enum {
				applies = applies || other == e.Type
			}
			if !applies {
				continue
			}
			for _, key := range rule.Then.Required {
				if _, ok := got[key]; !ok {
					t.Errorf("%s lacks %s", line, key)
				}
			}
			for _, key := range rule.Then.Properties.Data.Required {
				if _, ok := data[key]; !ok {
					t.Errorf("%s lacks data.%s", line, key)
				}
			}
			for key := range rule.Then.Properties.Data.Properties {
				known[key] = true
			}
		}
		for key := range data {
			if !known[key] {
				t.Errorf("%s: data.%s is not in the schema", line, key)
			}
		}
	}
}
