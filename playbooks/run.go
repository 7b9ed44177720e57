package playbooks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

const defaultForks = 50

var runID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Run carries a plan out: it looks at every host, then does the plays in order, and gives every host one result. The error is about the
// options or the run's lock: then no host was contacted, and Outcome, if not nil, has the exit code. How hosts fared is in the Outcome alone.
func Run(ctx context.Context, plan *Plan, opt RunOptions) (*Outcome, error) {
	return run(ctx, plan, opt, access{tasks.NewAuthorities, tasks.AuthorityProbe, tasks.PostgresProbe})
}

func run(ctx context.Context, plan *Plan, opt RunOptions, with access) (*Outcome, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Forks == 0 {
		opt.Forks = defaultForks
	}
	if opt.Run == "" {
		opt.Run = NewRunID(opt.Now())
	}
	switch {
	case opt.Dial == nil:
		return nil, errors.New("run a plan: no way to connect is given")
	case opt.Forks < 0:
		return nil, fmt.Errorf("run a plan: forks is %d; it is a number from 1", opt.Forks)
	case !runID.MatchString(opt.Run):
		return nil, fmt.Errorf("run a plan: run id %q is not letters, digits, dot, dash and underscore", opt.Run)
	}
	r := newRunner(plan, opt, with)
	r.started()
	if opt.Lock != nil {
		release, err := opt.Lock.Acquire(ctx, r.id)
		if err != nil {
			return r.lockedOut(err), err
		}
		defer release()
	}
	r.each(ctx, r.order, r.lookAt)
	r.plays(ctx)
	r.warnings()
	r.goodbye(ctx)
	return r.finished(), nil
}

// NewRunID makes an id that sorts by time: 20261122T080102Z-1f9a03bc.
func NewRunID(now time.Time) string {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random)
}

// runner is one run.
type runner struct {
	plan  *Plan
	opt   RunOptions
	with  access
	id    string
	who   tenant
	fleet *tasks.Fleet
	tell  *teller
	slots slots
	// hosts by name; order: those that the plan works on, then those that support them, each in inventory order.
	hosts map[string]*hostRun
	order []*hostRun

	mu sync.Mutex
	// failures counts against the plan's budget, unverified those of them that only a differing connection test makes; first names the
	// host that came first.
	failures, unverified int
	first                string
	// clients tells whether the plan works on clients: then every server of the run is looked at as one.
	clients bool
	// broken are hosts that ended early, for those that depend on them.
	broken map[string]bool
}

func newRunner(plan *Plan, opt RunOptions, with access) *runner {
	r := &runner{plan: plan, opt: opt, with: with, id: opt.Run, who: newTenant(opt), slots: make(slots, opt.Forks), hosts: map[string]*hostRun{}, broken: map[string]bool{},
		tell: &teller{run: opt.Run, now: opt.Now, sink: opt.Sink}}
	r.fleet = newFleet(plan, r.id, opt.Now(), opt)
	views := func(host string) *tasks.View {
		if h := r.fleet.Hosts[host]; h != nil {
			return h.View
		}
		return nil
	}
	r.fleet.CA = signing{with.authorities(r.fleet.Authorities, views, r.atAuthority, opt.Now), r}
	for _, h := range plan.Hosts {
		r.add(&hostRun{inv: h})
		r.clients = r.clients || h.HasRole("client")
	}
	for _, h := range plan.Support {
		r.add(&hostRun{inv: h, support: true})
	}
	for _, play := range plan.Plays {
		for name, list := range play.Tasks {
			r.hosts[name].left += len(list)
		}
	}
	return r
}

func (r *runner) add(h *hostRun) {
	h.host = r.fleet.Hosts[h.inv.Name]
	r.hosts[h.inv.Name] = h
	r.order = append(r.order, h)
}

// plays does the plays in order, each in its batches.
func (r *runner) plays(ctx context.Context) {
	for i := range r.plan.Plays {
		play := &r.plan.Plays[i]
		for b, batch := range play.Batches {
			hosts := r.alive(batch)
			switch {
			case stopped(ctx, r.opt.Stop) || r.spent(true):
				return
			case len(hosts) == 0:
				continue
			}
			r.tell.tell(events.Event{Type: events.PlayStarted, Play: play.Name,
				Data: map[string]any{"hosts": len(hosts), "batch": b + 1, "batches": len(play.Batches)}})
			r.announce(play, hosts)
			r.each(ctx, hosts, func(ctx context.Context, h *hostRun) {
				if !r.spent(false) {
					r.work(ctx, h, play.Name, play.Tasks[h.inv.Name])
				}
			})
		}
	}
}

// announce tells how much the verifying tasks of a batch are going to do.
func (r *runner) announce(play *PlannedPlay, batch []*hostRun) {
	if r.opt.Check {
		return
	}
	for i, task := range play.Tasks[batch[0].inv.Name] {
		a, ok := task.Task.(tasks.Announcer)
		if !ok {
			continue
		}
		var hosts []*tasks.Host
		for _, h := range batch {
			if list := play.Tasks[h.inv.Name]; i < len(list) && list[i].Kind == task.Kind {
				hosts = append(hosts, h.host)
			}
		}
		if text := a.Announce(hosts); text != "" {
			r.tell.tell(events.Event{Type: events.Notice, Play: play.Name, Summary: text})
		}
	}
}

// alive gives the hosts of a batch that have no result yet.
func (r *runner) alive(batch []string) []*hostRun {
	var out []*hostRun
	for _, name := range batch {
		if h := r.hosts[name]; h.ending() == nil {
			out = append(out, h)
		}
	}
	return out
}

// each calls work for every host, as many at once as there are slots, and waits for all.
func (r *runner) each(ctx context.Context, hosts []*hostRun, work func(context.Context, *hostRun)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, h := range hosts {
		place, ok := r.slots.take(ctx, r.opt.Stop)
		if !ok {
			return
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer place.give()
			defer r.caught(h)
			began := r.opt.Now()
			work(place.with(ctx), h)
			h.took += r.opt.Now().Sub(began)
		}()
	}
}

// work does a play's tasks to one host, until one fails or the run is stopped. What was held back goes out in any case, also where a later task has
// a defect: it has begun.
func (r *runner) work(ctx context.Context, h *hostRun, play string, list []PlannedTask) {
	var t *taskRun
	defer func() {
		if t != nil {
			t.flush(ctx)
		}
	}()
	for i := range list {
		if h.ending() != nil || stopped(ctx, r.opt.Stop) {
			break
		}
		h.left--
		t = &taskRun{r: r, h: h, play: play, task: &list[i], last: i == len(list)-1}
		t.run(ctx)
	}
}

// spent tells whether more hosts failed than max_failures allows. At the end of a batch every failure counts; before that, a host still begins
// when nothing but connection tests differed, so that a verification is seen whole. A check goes on: it shows all there is to see.
func (r *runner) spent(endOfBatch bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	failures := r.failures
	if !endOfBatch {
		failures -= r.unverified
	}
	return !r.opt.Check && failures > r.plan.MaxFailures
}

// newTenant is a run as its leases name it.
func newTenant(opt RunOptions) tenant {
	owner := opt.Owner
	if owner == "" {
		owner = fmt.Sprintf("pgfleet pid %d", os.Getpid())
	}
	return tenant{run: opt.Run, owner: owner, holder: process("/proc", os.Getpid())}
}
