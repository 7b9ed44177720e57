package playbooks

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
)

// order has the form of the shipped playbook: authorities, servers, their clients, the servers again, everybody.
const order = `
max_failures: %d
plays:
  - {name: authorities, hosts: root_ca, tasks: [put: {key: a, value: x}]}
  - {name: offer, hosts: db_server, tasks: [put: {key: a, value: x, %s}]}
  - {name: clients, hosts: client, wait_for: related, tasks: [put: {key: a, value: x}, tried: {differs: %s}]}
  - {name: enforce, hosts: db_server, wait_for: related, serial: %s, tasks: [put: {key: b, value: y}]}
  - {name: verify, hosts: client, tasks: [tried: {}]}
`

// told calls do with each task that a host has ended in a play.
func (w *world) told(host, play string, do func(events.Event)) {
	sink := w.opt.Sink
	w.opt.Sink = func(e events.Event) {
		sink(e)
		if e.Type == events.Task && e.Host == host && e.Play == play {
			do(e)
		}
	}
}

// hung lets a host's change wait until the channel is closed.
func (w *world) hung(host string) chan struct{} {
	gate := make(chan struct{})
	w.boxes[host].before = func(words []string) {
		if slices.Contains(words, "set a x") {
			<-gate
		}
	}
	return gate
}

// began gives the plays that a host has begun, in order.
func (w *world) began(host string) string {
	var out []string
	for _, e := range w.events {
		if e.Type == events.TaskStarted && e.Host == host && !slices.Contains(out, e.Play) {
			out = append(out, e.Play)
		}
	}
	return strings.Join(out, " ")
}

// TestSlowClient: a client that hangs holds the server that it uses, and nobody else: it goes on only when all other servers have begun to enforce.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gate, others, early := w.hung("app1"), 3, false
		for _, host := range []string{"db2", "db3", "db4"} {
			w.told(host, "enforce", func(events.Event) {
				if others--; others == 0 {
					early = strings.Contains(w.began("db1"), "enforce") || w.began("app2") != "clients"
					close(gate)
				}
			})
		}
		out := w.run(fmt.Sprintf(order, 0, "on: ''", "''", "25%"), PlanOptions{})
		if others != 0 || early || out.Exit != 0 {
			t.Errorf("%d servers were held, began early %v, exit %d", others, early, out.Exit)
		}
		w.checkEvents(out)
	})
}

// TestSlowServer: a server that hangs holds its clients, while the others get as far as enforcing.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gate, others, early := w.hung("db1"), 3, false
		for _, host := range []string{"db2", "db3", "db4"} {
			w.told(host, "enforce", func(events.Event) {
				if others--; others == 0 {
					early = w.began("app1") != "" || w.began("app2") != "clients"
					close(gate)
				}
			})
		}
		out := w.run(fmt.Sprintf(order, 0, "on: ''", "''", "100%"), PlanOptions{})
		if others != 0 || early || out.Exit != 0 {
			t.Errorf("%d servers were held, began early %v, exit %d", others, early, out.Exit)
		}
	})
}

// TestRelatedFailures: a failure lets the others finish the play that they are in, and begin none; a connection test that differs lets those of the same
// play be made.
func TestRelatedFailures(t *testing.T) {
	for _, c := range []struct {
		name, on, differs, waits, host, play string
		began                                map[string]string
	}{
		{name: "a server fails", on: "how: then, on: db1", differs: "''", waits: "db2", host: "db1", play: "offer",
			began: map[string]string{"db1": "offer", "db2": "offer", "app1": "", "app2": ""}},
		{name: "a test differs", on: "on: ''", differs: "app1", waits: "db2", host: "app1", play: "clients",
			began: map[string]string{"db1": "offer", "db2": "offer", "app1": "clients", "app2": "clients"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				gate := w.hung(c.waits)
				hold, begun := w.boxes[c.waits].before, make(chan struct{})
				reached := sync.OnceFunc(func() { close(begun) })
				w.boxes[c.waits].before = func(words []string) {
					if slices.Contains(words, "set a x") {
						reached()
					}
					hold(words)
				}
				// Nobody fails before the one that hangs has begun.
				w.boxes["db1"].before = func(words []string) {
					if slices.Contains(words, "set a x") {
						<-begun
					}
				}
				w.told(c.host, c.play, func(e events.Event) {
					if e.Kind == events.Failed || e.Kind == events.Unverified {
						close(gate)
					}
				})
				out := w.run(fmt.Sprintf(order, 0, c.on, c.differs, "100%"), PlanOptions{Limit: "ca1,db1,db2,client"})
				for host, want := range c.began {
					if got := w.began(host); got != want {
						t.Errorf("%s has begun %q, not %q", host, got, want)
					}
				}
				if got := len(out.Cells); c.play == "clients" && got != 2 {
					t.Errorf("%d connection tests", got)
				}
				w.checkEvents(out)
			})
		})
	}
}

// TestPatience: hosts that others wait for are named after a while, and again after twice as long.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Now = time.Now
		for _, b := range w.boxes {
			b.clock = time.Now
		}
		w.boxes["app1"].before = func(words []string) {
			if slices.Contains(words, "set a x") {
				time.Sleep(3*patience + time.Second)
			}
		}
		out := w.run(fmt.Sprintf(order, 0, "on: ''", "''", "100%"), PlanOptions{})
		var notices []string
		for _, e := range w.events {
			if e.Type == events.Notice {
				notices = append(notices, e.Summary)
			}
		}
		want := []string{"2 hosts wait for app1 (put, 30s)", "2 hosts wait for app1 (put, 1m30s)"}
		if diff := cmp.Diff(want, notices); diff != "" || out.Exit != 0 {
			t.Errorf("exit %d: %s", out.Exit, diff)
		}
	})
}

// TestRandomSchedules: whoever is slow, a host begins a play only when those that it has to wait for are through the plays before; batches come one after the
// other, none is too large, and everybody does everything.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.inv = randomFleet(t, random)
			w.boxes = map[string]*box{}
			for _, h := range w.inv.Hosts {
				delays := rand.New(rand.NewPCG(seed, uint64(len(w.boxes))))
				w.boxes[h.Name] = &box{name: h.Name, values: map[string]string{}, clock: func() time.Time { return w.now },
					before: func([]string) { time.Sleep(time.Duration(delays.IntN(8)) * time.Second) }}
			}
			w.opt.Forks = 1 + random.IntN(6)
			text := "plays:\n"
			for i := range 5 {
				text += fmt.Sprintf("  - {name: p%d, hosts: '%s', wait_for: %s, serial: %s, tasks: [put: {key: k%d, value: x}, put: {key: l%d, value: x}]}\n", i,
					one(random, "all", "db_server", "client", "client", "root_ca", "db1,app1,ca2"), one(random, "all", "related", "related"), one(random, "1", "2", "50%", "100%", "[1, 2]"), i, i)
			}
			out := w.run(text, PlanOptions{})
			if out.Exit != 0 {
				t.Errorf("seed %d: exit %d %+v", seed, out.Exit, out.Hosts)
			}
			w.checkOrder(w.plan(text, PlanOptions{}))
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, text)
			}
		})
	}
}

func one(random *rand.Rand, words ...string) string { return words[random.IntN(len(words))] }

// randomFleet has two authorities, and clients that use some of the servers.
func randomFleet(t *testing.T, random *rand.Rand) *inventory.Inventory {
	t.Helper()
	text := "hosts:\n  ca1: {roles: [root_ca]}\n  ca2: {roles: [root_ca]}\n"
	servers := 1 + random.IntN(4)
	for i := range servers {
		text += fmt.Sprintf("  db%d: {roles: [db_server]}\n", i+1)
	}
	for i := range 1 + random.IntN(6) {
		uses := fmt.Sprintf("db%d", 1+random.IntN(servers))
		if random.IntN(2) == 0 {
			uses += fmt.Sprintf(", db%d", 1+random.IntN(servers))
		}
		text += fmt.Sprintf("  app%d: {roles: [client], connects_to: [%s], identities: {app: [app]}}\n", i+1, uses)
	}
	text += "authorities:\n  one: {host: ca1, subject: CN=one, valid_for: 3650d}\n  two: {host: ca2, subject: CN=two, valid_for: 3650d}\n"
	inv, err := inventory.Parse("inventory.yaml", []byte(text), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// checkOrder holds the order of events against what a plan promises.
func (w *world) checkOrder(plan *Plan) {
	w.t.Helper()
	type span struct{ begin, end int64 }
	spans := map[string]map[string]*span{}
	for _, p := range plan.Plays {
		spans[p.Name] = map[string]*span{}
	}
	under := map[string]int{}
	for _, e := range w.events {
		switch of := spans[e.Play]; e.Type {
		case events.PlayStarted:
			if p := plan.Plays[slices.IndexFunc(plan.Plays, func(p PlannedPlay) bool { return p.Name == e.Play })]; p.Sizes != nil && (under[e.Play] > 0 || e.Data["hosts"].(int) > p.size(e.Data["batch"].(int), 1000)) {
				w.t.Errorf("%s: a batch of %v begins while %d hosts of the one before are at work", e.Play, e.Data["hosts"], under[e.Play])
			}
		case events.TaskStarted:
			if of[e.Host] == nil {
				of[e.Host] = &span{begin: e.Seq}
				under[e.Play]++
			}
		case events.Task:
			if of[e.Host].end > 0 {
				under[e.Play]--
			}
			of[e.Host].end = e.Seq
		}
	}
	for i, p := range plan.Plays {
		for host := range p.Tasks {
			own := spans[p.Name][host]
			if own == nil {
				w.t.Errorf("%s did not begin %s", host, p.Name)
				continue
			}
			for _, before := range plan.Plays[:i] {
				for other := range before.Tasks {
					if p.Related && !w.areRelated(host, other) {
						continue
					}
					if s := spans[before.Name][other]; s == nil || s.end > own.begin {
						w.t.Errorf("%s begins %s before %s is through %s", host, p.Name, other, before.Name)
					}
				}
			}
		}
	}
}

// areRelated tells by the inventory whether two hosts have to do with each other, or are the same.
func (w *world) areRelated(a, b string) bool {
	if a == b || strings.HasPrefix(a, "ca") || strings.HasPrefix(b, "ca") {
		return true
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if h, ok := w.inv.Host(pair[0]); ok && slices.Contains(h.ConnectsTo, pair[1]) {
			return true
		}
	}
	return false
}
