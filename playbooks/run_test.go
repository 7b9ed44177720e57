package playbooks

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
)

var bigOne = big.NewInt(1)

// TestOutcomes: how a run of one play or two ends, by what goes wrong in it.
func TestOutcomes(t *testing.T) {
	const two = `
plays:
  - {name: one, hosts: db_server, tasks: [put: {key: a, value: x, %s}]}
  - {name: two, hosts: db_server, tasks: [put: {key: b, value: y}]}
`
	cases := []struct {
		name, playbook string
		prepare        func(*world)
		opt            PlanOptions
		want           string
		exit           int
	}{
		{name: "everything changes", playbook: fmt.Sprintf(two, "on: ''"), want: "db1 changed, db2 changed, db3 changed, db4 changed"},
		{name: "nothing to do", playbook: `plays: [{hosts: db1, tasks: [put: {key: a}]}]`, want: "db1 ok"},
		{name: "a refusal", playbook: fmt.Sprintf(two, "how: refuse, on: db2"),
			want: "db1 skipped, db2 failed, db3 skipped, db4 skipped", exit: 2},
		{name: "a refusal within the budget", playbook: "max_failures: 1\n" + fmt.Sprintf(two, "how: refuse, on: db2"),
			want: "db1 changed, db2 failed, db3 changed, db4 changed", exit: 2},
		{name: "a refusal with -e max_failures", playbook: fmt.Sprintf(two, "how: refuse, on: db2"), opt: PlanOptions{Vars: map[string]any{"max_failures": "1"}},
			want: "db1 changed, db2 failed, db3 changed, db4 changed", exit: 2},
		{name: "a step that fails", playbook: fmt.Sprintf(two, "on: ''"), prepare: func(w *world) { w.boxes["db4"].broken["a"] = true },
			want: "db1 skipped, db2 skipped, db3 skipped, db4 failed", exit: 2},
		{name: "an answer that is refused", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: then}]}]`, want: "db1 failed", exit: 2},
		{name: "a change that does not take", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: stubborn}]}]`, want: "db1 failed", exit: 2},
		{name: "something that is not there yet", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: pending}]}]`, want: "db1 failed", exit: 2},
		{name: "a defect", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: panic}]}]`, want: "db1 failed", exit: 1},
		{name: "an unreachable host stops all before anything is changed", playbook: fmt.Sprintf(two, "on: ''"), prepare: func(w *world) { w.boxes["db3"] = nil },
			want: "db1 skipped, db2 skipped, db3 unreachable, db4 skipped", exit: 4},
		{name: "an unreachable host is left out", playbook: "leave_out_unreachable: yes\n" + fmt.Sprintf(two, "on: ''"), prepare: func(w *world) { w.boxes["db3"] = nil },
			want: "db1 changed, db2 changed, db3 unreachable, db4 changed", exit: 4},
		{name: "unreachable within the budget", playbook: "max_failures: 1\n" + fmt.Sprintf(two, "on: ''"), prepare: func(w *world) { w.boxes["db3"] = nil },
			want: "db1 changed, db2 changed, db3 unreachable, db4 changed", exit: 4},
		{name: "lost in the middle", playbook: "max_failures: 1\n" + fmt.Sprintf(two, "on: ''"), prepare: func(w *world) { w.boxes["db1"].lostAt = 3 },
			want: "db1 unreachable, db2 changed, db3 changed, db4 changed", exit: 4},
		{name: "a proof that fails is rolled back", playbook: `plays: [{hosts: db1, tasks: [proved: {key: a, value: bad}]}]`, want: "db1 rolled_back", exit: 2},
		{name: "a proof that fails, and the old files too", playbook: `plays: [{hosts: db1, tasks: [proved: {key: a, value: bad for ever}]}]`, want: "db1 failed", exit: 2},
		{name: "a proof that succeeds", playbook: `plays: [{hosts: db1, tasks: [proved: {key: a, value: good}]}]`, want: "db1 changed"},
		{name: "a change that does not take is rolled back", playbook: `plays: [{hosts: db1, tasks: [proved: {key: a, value: x, how: stubborn}]}]`, want: "db1 rolled_back", exit: 2},
		{name: "a cell that differs", playbook: `plays: [{name: a, hosts: client, tasks: [tried: {differs: app1}]}, {name: b, hosts: db1, tasks: [put: {key: a, value: x}]}]`,
			want: "db1 skipped, app1 unverified, app2 ok", exit: 3},
		{name: "a cell that differs ends the batches", playbook: `plays: [{hosts: client, serial: 1, tasks: [tried: {differs: app1}]}]`,
			want: "app1 unverified, app2 skipped", exit: 3},
		{name: "a cell that differs, and its batch is tested whole", playbook: `plays: [{hosts: client, serial: 2, tasks: [tried: {differs: app1}]}]`,
			want: "app1 unverified, app2 ok", exit: 3},
		{name: "a cell that could not be tried", playbook: `plays: [{hosts: client, tasks: [tried: {unknown: true}]}]`, want: "app1 ok, app2 ok"},
		{name: "a lease held by another run", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x}]}]`,
			prepare: func(w *world) { w.boxes["db1"].held = &LockedError{Run: "r0", Owner: "bob@desk"} }, want: "db1 failed", exit: 6},
		{name: "a lease held by another run matters only to who changes", playbook: `plays: [{hosts: db1, tasks: [put: {key: a}]}]`,
			prepare: func(w *world) { w.boxes["db1"].held = &LockedError{Run: "r0", Owner: "bob@desk"} }, want: "db1 ok"},
		{name: "stopped", playbook: `plays: [{hosts: db_server, serial: 1, tasks: [put: {key: a, value: x, how: stop, on: db2}, put: {key: b, value: y}]}]`,
			want: "db1 changed, db2 interrupted, db3 interrupted, db4 interrupted", exit: 130},
		{name: "stopped at the very end", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: stop}]}]`, want: "db1 changed"},
		{name: "cut", playbook: `plays: [{hosts: db_server, serial: 1, tasks: [put: {key: a, value: x, how: cancel, on: db2}, put: {key: b, value: y}]}]`,
			want: "db1 changed, db2 interrupted, db3 interrupted, db4 interrupted", exit: 130},
		{name: "a question of a task ended by Ctrl-C", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: unanswered}]}]`, want: "db1 interrupted", exit: 130},
		{name: "a question of a login ended by Ctrl-C", playbook: `plays: [{hosts: db1, tasks: [put: {key: a}]}]`, prepare: func(w *world) { w.opt.Dial = unanswered },
			want: "db1 interrupted, ca1 interrupted", exit: 130},
		{name: "the authority's host is lost", playbook: `plays: [{hosts: db1, tasks: [put: {key: a, value: x}]}]`, prepare: func(w *world) { w.boxes["ca1"] = nil },
			want: "db1 skipped, ca1 unreachable", exit: 4},
		{name: "the authority's host is lost, and nothing needs it", playbook: `plays: [{hosts: db1, tasks: [put: {key: a}]}]`, prepare: func(w *world) { w.boxes["ca1"] = nil },
			want: "db1 ok, ca1 unreachable", exit: 4},
		{name: "a client's server failed", playbook: `
max_failures: 9
plays: [{name: a, hosts: db_server, tasks: [put: {key: a, value: x, how: refuse, on: db1}]}, {name: b, hosts: client, tasks: [tried: {}]}]`,
			want: "db1 failed, db2 changed, db3 changed, db4 changed, app1 skipped, app2 ok", exit: 2},
		{name: "best effort: a client's server failed, another is lost", playbook: `
best_effort: yes
plays: [{name: a, hosts: db_server, tasks: [put: {key: a, value: x, how: refuse, on: db1}]}, {name: b, hosts: client, tasks: [put: {key: a, value: x}]}]`,
			prepare: func(w *world) { w.boxes["db2"] = nil }, want: "db1 failed, db2 unreachable, db3 changed, db4 changed, app1 changed, app2 changed", exit: 2},
		{name: "best effort within a budget", playbook: "best_effort: yes\n" + fmt.Sprintf(two, "how: refuse, on: db2"), opt: PlanOptions{Vars: map[string]any{"max_failures": "0"}},
			want: "db1 skipped, db2 failed, db3 skipped, db4 skipped", exit: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			out := w.run(c.playbook, c.opt)
			if got := w.results(); got != c.want {
				t.Errorf("hosts:\n got %s\nwant %s", got, c.want)
			}
			if out.Exit != c.exit {
				t.Errorf("exit %d, want %d", out.Exit, c.exit)
			}
			for _, e := range w.events {
				if strings.Contains(e.Reason, "not there yet") && !strings.Contains(e.Hint, "pgfleet certs") {
					t.Errorf("nothing is said of what is missing: %+v", e)
				}
			}
			w.checkEvents(out)
		})
	}
}

// checkEvents holds what is true of every run.
func (w *world) checkEvents(out *Outcome) {
	w.t.Helper()
	first, last := w.events[0], w.events[len(w.events)-1]
	if first.Type != events.RunStarted || last.Type != events.RunFinished || last.Data["exit_code"] != out.Exit {
		w.t.Errorf("first %+v, last %+v, exit %d", first, last, out.Exit)
	}
	hosts, counts, begun := map[string]int{}, map[string]int{}, map[string]int{}
	for i, e := range w.events {
		switch e.Type {
		case events.TaskStarted:
			begun[e.Host]++
		case events.Task:
			begun[e.Host]--
		}
		if e.Seq != int64(i+1) || e.V != 1 || e.Run != w.opt.Run || e.Time.IsZero() {
			w.t.Errorf("event %d: %+v", i, e)
		}
		if e.Type == events.Host {
			hosts[e.Host]++
			counts[string(e.Kind)]++
			if got := out.Hosts[e.Host]; got.Kind != e.Kind || got.Reason != e.Reason {
				w.t.Errorf("event %+v, outcome %+v", e, got)
			}
		}
	}
	for name, n := range begun {
		if n != 0 {
			w.t.Errorf("%s: %d tasks more began than ended", name, n)
		}
	}
	for name, n := range hosts {
		if n != 1 {
			w.t.Errorf("%s ends %d times", name, n)
		}
	}
	for kind, n := range last.Data["counts"].(map[string]int) {
		if counts[kind] != n {
			w.t.Errorf("counts of %s: %d, seen %d", kind, n, counts[kind])
		}
	}
	for name, b := range w.boxes {
		if b == nil {
			continue
		}
		if w.dialed[name] > 1 || w.dialed[name] == 1 && !b.closed {
			w.t.Errorf("%s: dialed %d times, closed %v", name, w.dialed[name], b.closed)
		}
		if len(b.trips) > 0 && !slices.Equal(b.trips[0], b.ahead) {
			w.t.Errorf("%s: announced %q, asked %q first", name, b.ahead, b.trips[0])
		}
		released := len(b.trips) > 0 && slices.Equal(b.trips[len(b.trips)-1], []string{"release"})
		lost := b.lostAt > 0
		if b.leased > 0 && !released && !lost {
			w.t.Errorf("%s: the lease is not given back: %q", name, b.trips)
		}
	}
}

// TestRoundTrips: look, one trip a change with its probes, the lease in the first of them, and its return.
func TestRoundTrips(t *testing.T) {
	w := newWorld(t)
	const playbook = `plays: [{hosts: db1, tasks: [put: {key: a, value: x}, put: {key: b, value: y}, put: {key: a, value: x}]}]`
	w.run(playbook, PlanOptions{})
	want := [][]string{{"date +%s", "get a", "get b"}, {"lease", "set a x", "get a"}, {"set b y", "get b"}, {"release"}}
	if diff := cmp.Diff(want, w.boxes["db1"].trips); diff != "" {
		t.Errorf("first run: %s", diff)
	}
	w.boxes["db1"].trips = nil
	w.events = nil
	out := w.run(playbook, PlanOptions{})
	if diff := cmp.Diff(want[:1], w.boxes["db1"].trips); diff != "" || out.Hosts["db1"].Changed != 0 {
		t.Errorf("second run: %s %+v", diff, out.Hosts["db1"])
	}
}

// TestPendingIsPlanned: a task whose change is not known yet makes what it looks at unreliable for those after it, as a known change does: else
// a check of a new fleet refuses TLS for want of the certificate that the task before it would have brought.
func TestPendingIsPlanned(t *testing.T) {
	w := newWorld(t)
	w.opt.Check = true
	w.run(`plays: [{hosts: "db1", tasks: [put: {key: a, how: pending}, put: {key: a, how: relies}]}, {hosts: "db2", tasks: [put: {key: a, how: relies}]}]`, PlanOptions{})
	if got, want := w.results(), "db1 would_change, db2 failed"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.opt.Check, w.opt.DetailedExit = true, true
	w.boxes["db3"] = nil
	out := w.run(`plays: [{hosts: "db1, db2, db3, app1", tasks: [put: {key: a, value: x}, put: {key: b, how: pending}, tried: {}]}]`, PlanOptions{})
	if got, want := w.results(), "db1 would_change, db2 would_change, db3 unreachable, app1 would_change"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if out.Exit != ExitUnreachable {
		t.Errorf("exit %d", out.Exit)
	}
	var told []string
	for _, e := range w.events {
		if e.Type == events.Task && e.Host == "db1" {
			told = append(told, fmt.Sprintf("%s %s %s%s%s", e.Task, e.Kind, e.Summary, e.Diff, e.Reason))
		}
	}
	want := []string{"put would_change set a+x", "put would_change (certificate of ca: known after apply)", "tried skipped a check makes no test connections"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for name, b := range w.boxes {
		if b != nil && (b.changes > 0 || b.leased > 0 || len(b.trips) > 1) {
			t.Errorf("%s was changed: %q", name, b.trips)
		}
	}
	w.boxes["db3"] = w.boxes["db2"]
	if out := w.run(`plays: [{hosts: "db1", tasks: [put: {key: a, value: x}]}]`, PlanOptions{}); out.Exit != ExitPending {
		t.Errorf("exit %d, want %d", out.Exit, ExitPending)
	}
}

// TestWaitingForSignatureHoldsNoSlot: with one fork, two hosts wait for one signature batch; were the first to keep its place, nobody would go on.
func TestWaitingForSignatureHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Forks = 1
		w.ca = newPairCA(4)
		out := w.run(`plays: [{hosts: db_server, tasks: [put: {key: a, value: x, how: sign}]}]`, PlanOptions{})
		if got, want := w.results(), "db1 changed, db2 changed, db3 changed, db4 changed"; got != want || out.Exit != 0 {
			t.Errorf("got %s, exit %d", got, out.Exit)
		}
		signed := 0
		for _, e := range w.events {
			if e.Type == events.Certificate {
				signed++
			}
		}
		if signed != 4 {
			t.Errorf("%d certificate events", signed)
		}
	})
}

// TestForks: never more hosts at once than forks, with hosts that wait for a signature not counted.
func TestForks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Forks = 2
		busy, most := 0, 0
		dial := w.opt.Dial
		w.opt.Dial = func(ctx context.Context, h *inventory.Host, _ ...transport.Step) (transport.Conn, error) {
			w.mu.Lock()
			busy++
			most = max(most, busy)
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			busy--
			w.mu.Unlock()
			return dial(ctx, h)
		}
		w.run(`plays: [{hosts: all, tasks: [put: {key: a, value: x}]}]`, PlanOptions{})
		if most != 2 {
			t.Errorf("%d hosts at once, want 2", most)
		}
	})
}

// TestSerial: a batch begins when the one before it has ended.
func TestSerial(t *testing.T) {
	w := newWorld(t)
	w.run(`plays: [{name: p, hosts: db_server, serial: 50%, tasks: [put: {key: a, value: x}]}]`, PlanOptions{})
	var order []string
	for _, e := range w.events {
		switch e.Type {
		case events.PlayStarted:
			order = append(order, fmt.Sprintf("batch %v/%v", e.Data["batch"], e.Data["batches"]))
		case events.Task:
			order = append(order, e.Host)
		}
	}
	if len(order) == 6 {
		slices.Sort(order[1:3])
		slices.Sort(order[4:6])
	}
	if got, want := strings.Join(order, " "), "batch 1/2 db1 db2 batch 2/2 db3 db4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestClock: a clock that is off is told, and nothing is signed for a host whose clock is off by more than certificates are backdated.
func TestClock(t *testing.T) {
	for _, c := range []struct {
		off    time.Duration
		notice bool
		exit   int
	}{{0, false, 0}, {30 * time.Second, false, 0}, {-2 * time.Minute, true, 0}, {6 * time.Minute, true, 2}, {-6 * time.Minute, true, 2}} {
		w := newWorld(t)
		w.ca = newPairCA(1)
		w.boxes["db1"].clock = func() time.Time { return w.now.Add(c.off) }
		out := w.run(`plays: [{hosts: db1, tasks: [put: {key: a, value: x, how: sign}]}]`, PlanOptions{})
		notice := slices.ContainsFunc(w.events, func(e events.Event) bool { return e.Type == events.Notice && e.Host == "db1" })
		if notice != c.notice || out.Exit != c.exit {
			t.Errorf("off by %s: notice %v, exit %d (%+v)", c.off, notice, out.Exit, out.Hosts["db1"])
		}
	}
}

type heldLock struct{ err error }

func (l heldLock) Acquire(context.Context, string) (func(), error) { return func() {}, l.err }

func TestRunLock(t *testing.T) {
	w := newWorld(t)
	w.opt.Lock = heldLock{&LockedError{Host: "the inventory", Owner: "bob", Run: "r0"}}
	out, err := run(w.ctx, w.plan(`plays: [{hosts: db1, tasks: [put: {key: a, value: x}]}]`, PlanOptions{}), w.opt, w.ca)
	if !errors.Is(err, ErrLocked) || out.Exit != ExitLocked || len(w.dialed) != 0 {
		t.Errorf("err %v, outcome %+v, dialed %v", err, out, w.dialed)
	}
}

// TestDeadHolder: a lease whose holder is a process of this machine that has ended is taken over.
func TestDeadHolder(t *testing.T) {
	w := newWorld(t)
	mine := strings.Split(process("/proc", 1), ":")
	if len(mine) != 4 {
		t.Skip("no /proc here")
	}
	dead := strings.Join([]string{mine[0], mine[1], "1", "1"}, ":") // pid 1 with another start time
	w.boxes["db1"].held = &LockedError{Run: "r0", Owner: "bob", holder: dead}
	if out := w.run(`plays: [{hosts: db1, tasks: [put: {key: a, value: x}]}]`, PlanOptions{}); out.Exit != 0 {
		t.Errorf("exit %d: %+v", out.Exit, out.Hosts)
	}
}

// TestNotes: what a proof could not show is told.
func TestNotes(t *testing.T) {
	w := newWorld(t)
	w.run(`plays: [{hosts: db1, tasks: [proved: {key: a, value: half}]}]`, PlanOptions{})
	i := slices.IndexFunc(w.events, func(e events.Event) bool { return e.Type == events.Notice })
	if i < 0 || w.events[i].Summary != "half of it was not seen" || w.events[i].Host != "db1" {
		t.Errorf("%+v", w.events)
	}
}

// TestLeaseRenewal: an old lease is renewed by the next change, looking never takes one, and in a check nothing that changes is sent.
func TestLeaseRenewal(t *testing.T) {
	w := newWorld(t)
	now := w.now
	b := w.boxes["db1"]
	d := &doer{host: "db1", conn: b, dir: leaseDir, who: tenant{run: "r1"}, now: func() time.Time { return now }}
	do := func(word string) error {
		_, err := d.Do(t.Context(), transport.Step{Argv: []string{word, "a", "x"}, Probe: word == "get"})
		return err
	}
	for _, c := range []struct {
		after time.Duration
		word  string
		want  int
	}{{0, "get", 0}, {0, "set", 1}, {leaseRenew - 1, "set", 1}, {1, "get", 1}, {0, "set", 2}, {time.Hour, "set", 3}} {
		now = now.Add(c.after)
		if err := do(c.word); err != nil || b.leased != c.want {
			t.Errorf("%+v: leased %d times, %v", c, b.leased, err)
		}
	}
	b.held = &LockedError{Run: "r2"}
	now = now.Add(time.Hour)
	before := b.changes
	if err := do("set"); !errors.Is(err, ErrLocked) || b.changes != before {
		t.Errorf("a lost lease: %v", err)
	}
	d.readOnly = true
	if err := do("set"); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a change in a check: %v", err)
	}
}

// TestLater: what can wait goes with the next change, in front of it, or with the lease's return; its failure stops nothing.
func TestLater(t *testing.T) {
	w := newWorld(t)
	b := w.boxes["db1"]
	b.broken["bad"] = true
	d := &doer{host: "db1", conn: b, dir: leaseDir, who: tenant{run: "r1"}, now: func() time.Time { return w.now }}
	step := func(words ...string) transport.Step { return transport.Step{Argv: words} }
	d.Later(step("set", "bad", "1"), step("set", "note", "1"))
	results, err := d.Do(t.Context(), transport.Step{Argv: []string{"get", "a"}, Probe: true})
	if err != nil || len(results) != 1 {
		t.Fatal(results, err)
	}
	results, err = d.Do(t.Context(), step("set", "a", "x"), transport.Step{Key: "v", Argv: []string{"get", "a"}, Probe: true})
	if err != nil || len(results) != 2 || results[1].Key != "v" || string(results[1].Stdout) != "x" {
		t.Fatal(results, err)
	}
	file := func(words ...string) transport.Step { return transport.Step{Argv: words, Write: &transport.FileMeta{}} }
	d.Later(step("set", "note", "2"))
	if results, err = d.Do(t.Context(), file("set", "bad", "1"), step("set", "a", "y")); err != nil || len(results) != 1 || results[0].Err == nil {
		t.Fatal(results, err)
	}
	results, err = d.Do(t.Context(), file("set", "f", "1"), file("set", "f", "2"), step("set", "a", "y"), transport.Step{Key: "v", Argv: []string{"get", "a"}, Probe: true})
	if err != nil || len(results) != 4 || results[3].Key != "v" || string(results[3].Stdout) != "y" {
		t.Fatal(results, err)
	}
	d.Later(step("set", "note", "3"))
	d.release(t.Context())
	d.release(t.Context())
	d.Later(step("set", "note", "4"))
	d.release(t.Context())
	want := [][]string{{"get a"}, {"lease", "set bad 1", "set note 1", "set a x", "get a"},
		{"set bad 1", "set note 2", "set a y"}, {"set f 1", "set f 2", "set note 2", "set a y", "get a"}, // behind files, which travel together
		{"set note 3", "release"}, {"lease", "set note 4", "release"}}
	if diff := cmp.Diff(want, b.trips); diff != "" {
		t.Error(diff)
	}
}

func TestBadOptions(t *testing.T) {
	w := newWorld(t)
	plan := w.plan(`plays: [{hosts: db1, tasks: [put: {key: a}]}]`, PlanOptions{})
	for _, opt := range []RunOptions{{}, {Dial: w.opt.Dial, Forks: -1}, {Dial: w.opt.Dial, Run: "a/b"}} {
		if out, err := run(w.ctx, plan, opt, w.ca); err == nil || out != nil {
			t.Errorf("%+v was accepted", opt)
		}
	}
}

func TestVerifyCells(t *testing.T) {
	w := newWorld(t)
	out := w.run(`plays: [{hosts: client, tasks: [tried: {differs: app2}]}]`, PlanOptions{})
	if len(out.Cells) != 2 || out.Cells[0].Client != "app1" {
		t.Errorf("%+v", out.Cells)
	}
	for _, e := range w.events {
		if e.Type == events.Task && e.Host == "app2" {
			cells := e.Data["cells"].([]events.Cell)
			if e.Kind != events.Unverified || cells[0] != events.Cell(out.Cells[1]) {
				t.Errorf("%+v", e)
			}
		}
	}
}
