package playbooks

import (
	"errors"
	"fmt"
	"slices"
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
		{"/etc/hosts", transport.Result{Key: "hosts:0123", Stdout: []byte("uid 0\nmeta root root 555 1700000003 0 0 1:1 /proc/self/.\ndone\n")}, 1700000003},
		{"/etc/hosts without getent", transport.Result{Key: "hosts:0123", Err: errors.New("exit code 1"), Stdout: []byte("uid 0\nmeta root root 555 1700000003 0 0 1:1 /proc/self/.\ndone\n")}, 1700000003},
		{"/etc/hosts, not looked at", transport.Result{Key: "hosts:0123", Err: errors.New("exit code 126")}, 0},
		{"/etc/hosts without a time", transport.Result{Key: "hosts:0123", Stdout: []byte("uid 0\ndone\n")}, 0},
		{"/etc/hosts, cut off", transport.Result{Key: "hosts:0123", Stdout: []byte("uid 0\nmeta root root 555 1700000003 0 0 1:1 /proc/self/.\n")}, 0},
		{"something else", transport.Result{Key: "file:/etc/hosts", Stdout: []byte("1700000001\n")}, 0},
	} {
		at, ok := clockIn(c.result)
		if ok != (c.want != 0) || ok && !at.Equal(time.Unix(c.want, 0)) {
			t.Errorf("%s: %v %v, wanted %d", c.name, at, ok, c.want)
		}
	}
}

// Where a probe tells of a clock that is off, date is asked, once, and has the word; what is right needs no further round trip.
func TestClockIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		name       string
		told, date time.Duration // what the probe and date are off by
		silent     bool          // no probe tells
		dated      bool          // date was asked already
		asked      bool
		want       time.Duration
	}{
		{name: "right", want: 0},
		{name: "nearly right", told: 50 * time.Second, date: time.Hour, want: 50 * time.Second},
		{name: "off", told: time.Hour, date: time.Hour, asked: true, want: time.Hour},
		{name: "behind", told: -time.Hour, date: -time.Hour, asked: true, want: -time.Hour},
		{name: "told wrongly", told: -time.Hour, asked: true, want: 0},
		{name: "not told", silent: true, date: 2 * time.Hour, want: 0},
		{name: "date alone", told: time.Hour, silent: true, dated: true, want: time.Hour},
	} {
		w := newWorld(t)
		w.boxes["app1"].clock = func() time.Time { return w.now.Add(c.date) }
		r := &runner{opt: w.opt, tell: &teller{now: w.opt.Now, sink: w.opt.Sink}}
		h := &hostRun{inv: w.plan(`plays: [{hosts: app1, tasks: [put: {key: a, value: x}]}]`, PlanOptions{}).Hosts[0], doer: &doer{conn: w.boxes["app1"]}}
		told := w.now.Add(c.told).Unix()
		results := []transport.Result{{Key: "v.a"}}
		if !c.silent {
			results = append(results, transport.Result{Key: "hosts:0123", Stdout: fmt.Appendf(nil, "uid 0\nmeta root root 555 %d 0 0 1:1 /proc/self/.\ndone\n", told)})
		}
		if c.dated {
			results = append(results, transport.Result{Key: clockKey, Stdout: fmt.Appendln(nil, told)})
		}
		r.clock(t.Context(), h, results, w.now)
		notice := slices.ContainsFunc(w.events, func(e events.Event) bool { return e.Type == events.Notice && e.Host == h.inv.Name })
		if asked := len(w.boxes["app1"].trips) == 1; h.skew != c.want || asked != c.asked || notice != (c.want.Abs() > time.Minute) {
			t.Errorf("%s: off by %s, date asked: %v, notice: %v", c.name, h.skew, asked, notice)
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
