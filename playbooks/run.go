package playbooks

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

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
	if opt.Run == "" {
		opt.Run = NewRunID(opt.Now())
	}
	switch {
	case opt.Dial == nil:
		return nil, errors.New("run a plan: no way to connect is given")
	case opt.Forks < 0:
		return nil, fmt.Errorf("run a plan: forks is %d; it is a number from 1", opt.Forks)
	case !IsRunID(opt.Run):
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
	r.standbys()
	newSchedule(r).run(ctx)
	r.warnings()
	r.goodbye(ctx)
	return r.finished(), nil
}

// IsRunID tells whether a text can be a run's id.
func IsRunID(text string) bool { return runID.MatchString(text) }

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
	// signers are those of hosts with an authority.
	signers []*hostRun

	mu sync.Mutex
	// failures counts against the plan's budget; first names the host that came first.
	failures int
	first    string
	// clients tells whether the plan works on clients: then every server of the run is looked at as one.
	clients bool
	// broken are hosts that ended early, for those that depend on them.
	broken map[string]bool
}

func newRunner(plan *Plan, opt RunOptions, with access) *runner {
	r := &runner{plan: plan, opt: opt, with: with, id: opt.Run, who: newTenant(opt), slots: make(slots, cmp.Or(opt.Forks, defaultForks)), hosts: map[string]*hostRun{}, broken: map[string]bool{},
		tell: &teller{run: opt.Run, now: opt.Now, sink: opt.Sink}}
	r.fleet = newFleet(plan, r.id, opt.Now(), opt)
	views := func(host string) *tasks.View {
		if h := r.fleet.Hosts[host]; h != nil {
			return h.View
		}
		return nil
	}
	authorities := with.authorities(r.fleet.Authorities, views, r.atAuthority, opt.Now)
	if ca, ok := authorities.(*tasks.CA); ok {
		ca.KeySecrets(opt.KeySecret)
	}
	r.fleet.CA = signing{authorities, r}
	for _, h := range plan.Hosts {
		r.add(&hostRun{inv: h})
		r.clients = r.clients || h.HasRole("client")
	}
	for _, h := range plan.Support {
		r.add(&hostRun{inv: h, support: true})
	}
	for _, name := range sortedKeys(plan.Inventory.Authorities) {
		if h := r.hosts[plan.Inventory.Authorities[name].Host]; h != nil && !slices.Contains(r.signers, h) {
			r.signers = append(r.signers, h)
		}
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
			r.inPlace(ctx, place, h, work)
		}()
	}
}

// inPlace calls work for a host that has a place, and gives the place back.
func (r *runner) inPlace(ctx context.Context, place *slot, h *hostRun, work func(context.Context, *hostRun)) {
	defer place.give()
	defer r.caught(h)
	began := r.opt.Now()
	work(place.with(ctx), h)
	h.took += r.opt.Now().Sub(began)
}

// work does a play's tasks to one host, until one fails or the run is stopped. What was held back goes out in any case, also where a later task has
// a defect: it has begun.
func (r *runner) work(ctx context.Context, h *hostRun, play string, list []PlannedTask) {
	var t *taskRun
	defer func() {
		if t != nil {
			t.flush(ctx)
		}
		r.stuck(h)
	}()
	for i := range list {
		if h.ending() != nil || stopped(ctx, r.opt.Stop) {
			break
		}
		h.left--
		if h.stuck != nil && !preparing[list[i].Kind] {
			continue
		}
		t = &taskRun{r: r, h: h, play: play, task: &list[i], last: i == len(list)-1}
		t.run(ctx)
	}
}

// spent tells whether more hosts failed than max_failures allows, so that no host may begin a play, or (nil) anything. Where nothing but connection tests
// differs, the batch that they are made in goes on, so that a verification is seen whole. A check goes on: it shows all there is to see.
func (r *runner) spent(p *playRun) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	failures := r.failures
	if p != nil {
		failures -= p.unverified
	}
	return !r.opt.Check && failures > r.plan.MaxFailures
}

// counted has the next batch of a play pay for the connection tests that differed in the one before.
func (r *runner) counted(p *playRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.unverified = 0
}

// newTenant is a run as its leases name it.
func newTenant(opt RunOptions) tenant {
	owner := opt.Owner
	if owner == "" {
		owner = fmt.Sprintf("pgfleet pid %d", os.Getpid())
	}
	return tenant{run: opt.Run, owner: owner, holder: process("/proc", os.Getpid())}
}
