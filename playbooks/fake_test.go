package playbooks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// box is a host that keeps values by name: "get K" is a probe, "set K V" a change. It refuses a command that it does not know.
type box struct {
	name string
	mu   sync.Mutex
	// values by name; broken: names that cannot be set; stuck: names that keep their value, although setting them works. lostAt: the connection breaks at that round trip (from 1).
	values  map[string]string
	broken  map[string]bool
	stuck   map[string]bool
	lostAt  int
	held    *LockedError
	clock   func() time.Time
	trips   [][]string
	ahead   []string // what the first trip was announced to be
	changes int
	leased  int
	closed  bool
	// before, if not nil, is called with each round trip before it is answered.
	before func(words []string)
}

func (b *box) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	var words []string
	for _, s := range steps {
		words = append(words, stepText(s))
	}
	if b.before != nil {
		b.before(words)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
	}
	b.trips = append(b.trips, words)
	if b.lostAt == len(b.trips) {
		return nil, fmt.Errorf("%w: connection lost", transport.ErrUnreachable)
	}
	var out []transport.Result
	for _, s := range steps {
		r := b.step(s)
		out = append(out, r)
		if r.Err != nil && !s.Probe {
			break
		}
	}
	return out, nil
}

func stepText(s transport.Step) string {
	switch s.Shell {
	case leaseTake:
		return "lease"
	case leaseRelease:
		return "release"
	}
	return strings.Join(s.Argv, " ")
}

func (b *box) step(s transport.Step) transport.Result {
	r := transport.Result{Key: s.Key}
	switch word := stepText(s); {
	case word == "lease":
		if b.held != nil && s.Argv[5] != b.held.Run {
			r.Code, r.Err = leaseHeld, &transport.ExitError{Code: leaseHeld}
			r.Stdout = fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%d\n", b.held.Run, b.held.Owner, b.held.holder, b.held.Until.Unix(), b.held.Since.Unix())
			return r
		}
		b.held = nil
		b.leased++
	case word == "release":
	case word == "date +%s":
		r.Stdout = fmt.Appendln(nil, b.clock().Unix())
	case s.Argv[0] == "get":
		r.Stdout = []byte(b.values[s.Argv[1]])
	case s.Argv[0] == "set" && b.broken[s.Argv[1]]:
		r.Code, r.Err = 1, &transport.ExitError{Code: 1, Stderr: []byte("disk full")}
	case s.Argv[0] == "set" && b.stuck[s.Argv[1]]:
		b.changes++
	case s.Argv[0] == "set":
		b.values[s.Argv[1]] = s.Argv[2]
		b.changes++
	default:
		panic("box: unknown command " + word)
	}
	return r
}

func (b *box) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("not here")
}

func (b *box) Close() error {
	b.closed = true
	return nil
}

// put is a task that wants a value: its parameters say how it goes wrong.
type put struct {
	Key   string `param:"key,required" doc:"name of the value"`
	Value string `param:"value" doc:"what it shall be"`
	// How says what happens besides.
	How string `param:"how" default:"plain" allowed:"plain sign pending refuse panic stubborn then stop cancel unanswered ahead mistaken shows asks relies waits soft asked" doc:"what happens"`
	// On: only on this host the how is meant.
	On string `param:"on" doc:"host"`

	w *world
}

func (t *put) how(h *tasks.Host) string {
	if t.On != "" && t.On != h.Name {
		return "plain"
	}
	return t.How
}

func (t *put) Needs(*tasks.Host) []transport.Step {
	return []transport.Step{{Key: "v." + t.Key, Argv: []string{"get", t.Key}, Probe: true}}
}

func (t *put) Check(_ context.Context, h *tasks.Host) (*tasks.Change, error) {
	seen, err := h.View.Get("v." + t.Key)
	if err != nil {
		return nil, err
	}
	switch t.how(h) {
	case "panic":
		panic("a defect")
	case "refuse":
		return nil, fmt.Errorf("%w: not on this host", tasks.ErrRefused)
	case "relies":
		if !h.View.Planned("v." + t.Key) {
			return nil, fmt.Errorf("%w: nothing has set it", tasks.ErrRefused)
		}
		return nil, nil
	case "waits", "soft":
		return nil, &tasks.WaitingError{Authority: "company", What: []string{"certificate for " + h.Name}, Soft: t.how(h) == "soft"}
	case "pending":
		return nil, fmt.Errorf("certificate of ca: %w", tasks.ErrPending)
	}
	value := string(seen.Stdout)
	h.View.Foreseen("v."+t.Key, &value)
	if value == t.Value && t.how(h) == "asked" {
		return nil, &tasks.WaitingError{Authority: "company", What: []string{"certificate for " + h.Name}}
	}
	if value == t.Value && t.how(h) != "stubborn" {
		return nil, nil
	}
	change := &tasks.Change{Summary: "set " + t.Key, Diff: "+" + t.Value, Touches: []string{"v." + t.Key},
		Apply: func(ctx context.Context, do tasks.Doer) ([]transport.Step, error) { return t.apply(ctx, h, do) },
		Then: func([]transport.Result) error {
			if t.how(h) == "then" {
				return errors.New("the host says no")
			}
			return nil
		}}
	if t.how(h) == "shows" {
		change.Shows = change.Touches
	}
	if how := t.how(h); how == "ahead" || how == "mistaken" {
		change.Foresee = func(v *tasks.View) {
			v.Foresee("v."+t.Key, func(seen any) {
				if *seen.(*string) = t.Value; how == "mistaken" {
					*seen.(*string) = "something else"
				}
			})
		}
	}
	return change, nil
}

func (t *put) apply(ctx context.Context, h *tasks.Host, do tasks.Doer) ([]transport.Step, error) {
	switch t.how(h) {
	case "asks":
		steps := []transport.Step{{Argv: []string{"set", t.Key + " asked", t.Value}}}
		results, err := do.Do(ctx, steps...)
		if err != nil {
			return nil, err
		}
		if err := transport.Failed(steps, results); err != nil {
			return nil, err
		}
	case "sign":
		if _, err := h.Fleet.CA.Issue(ctx, "ca", tasks.IssueRequest{Host: h.Name}); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
	case "stop":
		close(t.w.stop)
	case "unanswered":
		return nil, fmt.Errorf("passphrase: %w", context.Canceled)
	case "cancel":
		t.w.cancel()
	}
	steps := []transport.Step{{Argv: []string{"set", t.Key, t.Value}}}
	if t.how(h) == "shows" {
		steps = append(steps, transport.Step{Key: "v." + t.Key, Argv: []string{"get", t.Key}})
	}
	return steps, nil
}

// proved is a put that is proved: a value "bad" is never seen working from outside.
type proved struct {
	Key   string `param:"key,required" doc:"name of the value"`
	Value string `param:"value" doc:"what it shall be"`
	How   string `param:"how" default:"plain" doc:"what happens"`
}

func (t *proved) put() *put { return &put{Key: t.Key, Value: t.Value, How: t.How} }

func (t *proved) Needs(h *tasks.Host) []transport.Step { return t.put().Needs(h) }

func (t *proved) Check(ctx context.Context, h *tasks.Host) (*tasks.Change, error) {
	return t.put().Check(ctx, h)
}

func (t *proved) Prove(_ context.Context, h *tasks.Host, _ tasks.Prober) error {
	seen, err := h.View.Get("v." + t.Key)
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(seen.Stdout), "bad") {
		return fmt.Errorf("serves %s", seen.Stdout)
	}
	return nil
}

func (t *proved) Notes() []string {
	if t.Value == "half" {
		return []string{"half of it was not seen"}
	}
	return nil
}

func (t *proved) Undo(*tasks.Host) []transport.Step {
	back := "before"
	if t.Value == "bad for ever" {
		back = "bad too"
	}
	return []transport.Step{{Argv: []string{"set", t.Key, back}}}
}

// tried is a verifier with one cell a host.
type tried struct {
	Differs string `param:"differs" doc:"host whose cell differs"`
	Unknown bool   `param:"unknown" doc:"not proven"`
}

func (t *tried) Needs(*tasks.Host) []transport.Step { return nil }

func (t *tried) Check(context.Context, *tasks.Host) (*tasks.Change, error) { return nil, nil }

func (t *tried) Verify(_ context.Context, h *tasks.Host, _ tasks.Prober) ([]tasks.Cell, error) {
	return []tasks.Cell{{Client: h.Name, Server: "db1", Check: "verify-full", Identity: "app/app", Target: "db1:5432", Want: "connects",
		Got: "refused: unknown ca", Via: "psql", OK: h.Name != t.Differs && !t.Unknown, NotProven: t.Unknown}}, nil
}

// world is a fleet of boxes and everything that a run of it tells.
type world struct {
	t      *testing.T
	inv    *inventory.Inventory
	boxes  map[string]*box
	kinds  kindTable
	stop   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	ca     access
	events []events.Event
	opt    RunOptions
	now    time.Time
	dialed map[string]int
	mu     sync.Mutex
}

const testInventory = `
hosts:
  ca1: {roles: [root_ca]}
  db1: {roles: [db_server]}
  db2: {roles: [db_server]}
  db3: {roles: [db_server]}
  db4: {roles: [db_server]}
  app1: {roles: [client], connects_to: [db1], identities: {app: [app]}}
  app2: {roles: [client], connects_to: [db2], identities: {app: [app]}}
authorities:
  ca: {host: ca1, subject: "CN=ca", valid_for: 3650d}
vars: {greeting: hello}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte(testInventory), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: t, inv: inv, boxes: map[string]*box{}, stop: make(chan struct{}), ctx: ctx, cancel: cancel, dialed: map[string]int{},
		now: time.Date(2026, 11, 22, 8, 1, 2, 0, time.UTC), ca: access{withoutAuthorities, caProbe, serverProbe}}
	w.kinds = w.fakeKinds()
	for _, h := range inv.Hosts {
		w.boxes[h.Name] = &box{name: h.Name, values: map[string]string{}, broken: map[string]bool{}, stuck: map[string]bool{}, clock: func() time.Time { return w.now }}
	}
	w.opt = RunOptions{Run: "20261122T080102Z-test", Owner: "alice@desk", Now: func() time.Time { return w.now }, Stop: w.stop,
		Dial: func(_ context.Context, h *inventory.Host, ahead ...transport.Step) (transport.Conn, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dialed[h.Name]++
			b := w.boxes[h.Name]
			if b == nil {
				return nil, fmt.Errorf("%w: no route", transport.ErrUnreachable)
			}
			b.ahead = nil
			for _, s := range ahead {
				b.ahead = append(b.ahead, stepText(s))
			}
			return b, nil
		},
		Sink: func(e events.Event) { w.events = append(w.events, e) }}
	return w
}

// unanswered is a Dialer whose question for a passphrase is answered by Ctrl-C.
func unanswered(context.Context, *inventory.Host, ...transport.Step) (transport.Conn, error) {
	return nil, fmt.Errorf("%w: open key: %w", transport.ErrAuth, context.Canceled)
}

func (w *world) fakeKinds() kindTable {
	return kindTable{
		"put":    {Name: "put", New: func() tasks.Task { return &put{w: w} }},
		"trust":  {Name: "trust", New: func() tasks.Task { return &put{w: w} }},
		"proved": {Name: "proved", New: func() tasks.Task { return &proved{} }},
		"tried":  {Name: "tried", New: func() tasks.Task { return &tried{} }},
		"db":     {Name: "db", New: func() tasks.Task { return &put{w: w} }, Roles: []string{"db_server"}},
	}
}

func (w *world) plan(playbook string, opt PlanOptions) *Plan {
	w.t.Helper()
	pb, err := parse("test.yaml", []byte(playbook), w.kinds)
	if err != nil {
		w.t.Fatal(err)
	}
	plan, err := NewPlan(pb, w.inv, opt)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

func (w *world) run(playbook string, opt PlanOptions) *Outcome {
	w.t.Helper()
	out, err := run(w.ctx, w.plan(playbook, opt), w.opt, w.ca)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// results gives "host kind" for every host, in the order of its events.
func (w *world) results() string {
	var out []string
	for _, e := range w.events {
		if e.Type == events.Host {
			out = append(out, e.Host+" "+string(e.Kind))
		}
	}
	return strings.Join(out, ", ")
}

// pairCA signs only when so many hosts wait at once: it stands for a group commit that no host may block.
type pairCA struct {
	noAuthorities
	mu   sync.Mutex
	wait int
	gate chan struct{}
}

func newPairCA(n int) access {
	p := &pairCA{wait: n, gate: make(chan struct{})}
	return access{func(map[string]pki.Authority, func(string) *tasks.View,
		func(context.Context, string, ...transport.Step) ([]transport.Result, error), func() time.Time) tasks.Authorities {
		return p
	}, caProbe, serverProbe}
}

func caProbe(a pki.Authority) transport.Step {
	return transport.Step{Key: "authority " + a.Name, Argv: []string{"get", "ca"}}
}

func serverProbe(*tasks.Host) transport.Step {
	return transport.Step{Key: tasks.KeyPostgres, Argv: []string{"get", "postgres"}}
}

func (p *pairCA) Issue(ctx context.Context, _ string, _ tasks.IssueRequest) (*x509.Certificate, error) {
	p.mu.Lock()
	if p.wait--; p.wait == 0 {
		close(p.gate)
	}
	p.mu.Unlock()
	select {
	case <-p.gate:
		return &x509.Certificate{SerialNumber: bigOne}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
