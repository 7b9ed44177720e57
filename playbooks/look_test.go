package playbooks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
)

// A host that runs one program tells its clock with what that answers; every other host with the clock's own step.
func TestClockOfAHost(t *testing.T) {
	status := []byte("pgfleet-ca 1 1700000000 0\nanswer status ok\ndirectory absent \nuid 0\nend\n")
	for _, c := range []struct {
		name, program string
		result        transport.Result
		want          int64 // 0: it tells none
	}{
		{"a shell", "", transport.Result{Key: clockKey, Stdout: []byte("1700000001\n")}, 1700000001},
		{"a shell, something else", "", transport.Result{Key: "authority:clients", Stdout: status}, 0},
		{"a shell without date", "", transport.Result{Key: clockKey, Err: errors.New("exit code 127")}, 0},
		{"a shell with an odd date", "", transport.Result{Key: clockKey, Stdout: []byte("+%s\n")}, 0},
		{"one program", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "authority:clients", Stdout: status}, 1700000000},
		{"one program, refused", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "authority:clients", Err: errors.New("exit code 2")}, 0},
		{"one program, something else", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "file:/etc/hosts", Stdout: []byte("1700000001\n")}, 0},
	} {
		h := &hostRun{inv: &inventory.Host{Target: transport.Target{Program: c.program}}}
		at, ok := (&runner{}).clockIn(h, c.result)
		if ok != (c.want != 0) || ok && !at.Equal(time.Unix(c.want, 0)) {
			t.Errorf("%s: %v %v, wanted %d", c.name, at, ok, c.want)
		}
	}
}

// What the limit takes away by name is not connected to, unless nothing can be done without it: then that is said first.
func TestTakenAway(t *testing.T) {
	const playbook = `plays: [{hosts: client, tasks: [put: {key: a, value: x}]}]`
	for limit, c := range map[string]struct{ dialed, warning string }{
		"app1,app2":        {"app1 app2 ca1 db1 db2", ""},
		"app1,app2,!db1":   {"app1 app2 ca1 db2", ""},
		"all,!db*,!app2":   {"app1 ca1", ""},
		"client:!ca1:!db1": {"app1 app2 ca1 db2", "ca1 is looked at all the same"},
	} {
		w := newWorld(t)
		w.run(playbook, PlanOptions{Limit: limit})
		if dialed := strings.Join(sortedKeys(w.dialed), " "); dialed != c.dialed {
			t.Errorf("%s: connected to %s, want %s", limit, dialed, c.dialed)
		}
		said := ""
		if w.events[1].Type == events.Notice {
			said = w.events[1].Summary
		}
		if (said == "") != (c.warning == "") || !strings.HasPrefix(said, c.warning) {
			t.Errorf("%s: said first %q, want %q", limit, said, c.warning)
		}
	}
}
