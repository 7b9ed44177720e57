package playbooks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// A host's clock is told by what is asked anyway, where that tells the time, else by a step of its own.
func TestClockOfAHost(t *testing.T) {
	status := []byte("pgfleet-ca 1 1700000000 0\nanswer status ok\ndirectory absent \nuid 0\nend\n")
	for _, c := range []struct {
		name   string
		result transport.Result
		want   int64 // 0: it tells none
	}{
		{"date", transport.Result{Key: clockKey, Stdout: []byte("1700000001\n")}, 1700000001},
		{"no date", transport.Result{Key: clockKey, Err: errors.New("exit code 127")}, 0},
		{"an odd date", transport.Result{Key: clockKey, Stdout: []byte("+%s\n")}, 0},
		{"an authority", transport.Result{Key: tasks.KeyAuthority("clients"), Stdout: status}, 1700000000},
		{"an authority, refused", transport.Result{Key: tasks.KeyAuthority("clients"), Err: errors.New("exit code 2")}, 0},
		{"clusters", transport.Result{Key: tasks.KeyPostgres, Stdout: []byte("host 14\nnow=1700000002\nend 0\n\n")}, 1700000002},
		{"clusters, told last", transport.Result{Key: tasks.KeyPostgres, Stdout: []byte("cluster 3\nx=1\nhost 14\nnow=1700000002\nend 0\n\n")}, 1700000002},
		{"clusters without a date", transport.Result{Key: tasks.KeyPostgres, Stdout: []byte("host 4\nnow=\nend 0\n\n")}, 0},
		{"something else", transport.Result{Key: "file:/etc/hosts", Stdout: []byte("1700000001\n")}, 0},
	} {
		at, ok := clockIn(c.result)
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
