package playbooks

import (
	"context"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// schedule says which host begins which play when. A play begins for all of its hosts when every play before it is through; where it waits for related
// hosts only, for each host when those that it has to do with are (related.go). What waits for what is always a host for an earlier play of another one, so
// somebody can always go on. All of it belongs to the goroutine that calls run.
type schedule struct {
	r     *runner
	plays []*playRun
	// done has the hosts that are through with what they began; busy are those that are not, and since when.
	done chan *hostRun
	busy map[*hostRun]time.Time
}

// playRun is a play during a run.
type playRun struct {
	*PlannedPlay
	index int
	// all hosts in the play's order; open counts those that are not through, also those that did not come to it yet.
	all  []*hostRun
	open int
	// released: the plays before are through, where that is what the play waits for.
	released bool
	// ready hosts are in no batch yet. Of the batch under way, batch has not begun, and busy counts those that have and are not through.
	ready, batch []*hostRun
	busy         int
	// number of the batch, from 1; batches in all, 0 where nobody knows.
	number, batches int
	// unverified counts hosts of the batch under way of which only a connection test differs; the runner's mu holds for it.
	unverified int
}

func newSchedule(r *runner) *schedule {
	s := &schedule{r: r, done: make(chan *hostRun, len(r.order)), busy: map[*hostRun]time.Time{}}
	for i := range r.plan.Plays {
		p := &playRun{PlannedPlay: &r.plan.Plays[i], index: i}
		s.plays = append(s.plays, p)
		for _, batch := range p.Batches {
			for _, name := range batch {
				h := r.hosts[name]
				h.route = append(h.route, i)
				p.all = append(p.all, h)
			}
		}
		p.open = len(p.all)
		if p.Sizes == nil {
			p.batches = 1
		}
	}
	return s
}

// run does the plays, until they are through, too many hosts have failed, or the run is stopped. It returns when nobody works any more.
func (s *schedule) run(ctx context.Context) {
	for _, p := range s.plays {
		for _, h := range p.all {
			if len(h.route) > 0 && h.route[0] == p.index {
				s.arrive(h)
			}
		}
	}
	s.release()
	for {
		for s.begin(ctx) {
		}
		if len(s.busy) == 0 {
			return
		}
		s.through(s.next())
	}
}

// begin lets one host begin; false when none can now. Earlier plays go first.
func (s *schedule) begin(ctx context.Context) bool {
	if stopped(ctx, s.r.opt.Stop) {
		return false
	}
	for _, p := range s.plays {
		if len(p.batch) == 0 && !s.form(p) {
			continue
		}
		if s.r.spent(p) {
			p.batch = nil
			continue
		}
		h := p.batch[0]
		p.batch = p.batch[1:]
		return s.work(ctx, p, h)
	}
	return false
}

// form makes the play's next batch of hosts that are ready; false when there are none, or the batch before is not through.
func (s *schedule) form(p *playRun) bool {
	if len(p.ready) == 0 || p.Sizes != nil && p.busy > 0 {
		return false
	}
	first := p.number == 0
	if first || p.Sizes != nil {
		s.r.counted(p)
	}
	if s.r.spent(p) {
		return false
	}
	standbysFirst(p.ready)
	n := p.size(p.number+1, len(p.ready))
	p.batch, p.ready = p.ready[:n:n], p.ready[n:]
	if first || p.Sizes != nil {
		p.number++
		s.announce(p)
	}
	return true
}

// announce tells that a batch begins, or a play that has none, and how much its verifying tasks are going to do.
func (s *schedule) announce(p *playRun) {
	hosts := p.batch
	if p.Sizes == nil {
		hosts = alive(p.all)
	}
	data := map[string]any{"hosts": len(hosts), "batch": p.number}
	if p.batches > 0 {
		data["batches"] = p.batches
	}
	s.r.tell.tell(events.Event{Type: events.PlayStarted, Play: p.Name, Data: data})
	if s.r.opt.Check {
		return
	}
	for i, task := range p.Tasks[p.batch[0].inv.Name] {
		a, ok := task.Task.(tasks.Announcer)
		if !ok {
			continue
		}
		var same []*tasks.Host
		for _, h := range hosts {
			if list := p.Tasks[h.inv.Name]; i < len(list) && list[i].Kind == task.Kind {
				same = append(same, h.host)
			}
		}
		if text := a.Announce(same); text != "" {
			s.r.tell.tell(events.Event{Type: events.Notice, Play: p.Name, Summary: text})
		}
	}
}

// work has a host do its tasks of a play, as soon as there is a place; false when the run was stopped first.
func (s *schedule) work(ctx context.Context, p *playRun, h *hostRun) bool {
	place, ok := s.r.slots.take(ctx, s.r.opt.Stop)
	if !ok {
		return false
	}
	if s.r.spent(p) {
		place.give()
		return true
	}
	s.busy[h] = s.r.opt.Now()
	p.busy++
	h.at = p
	go func() {
		defer func() { s.done <- h }()
		s.r.inPlace(ctx, place, h, func(ctx context.Context, h *hostRun) {
			if p.LookAgain {
				s.r.lookAgain(ctx, h, p.Tasks[h.inv.Name])
			}
			s.r.work(ctx, h, p.Name, p.Tasks[h.inv.Name])
		})
	}()
	return true
}

// through takes a host that is through with a play to its next one, and wakes those that wait for it.
func (s *schedule) through(h *hostRun) {
	delete(s.busy, h)
	s.plays[h.route[0]].busy--
	s.leave(h)
	s.arrive(h)
	s.release()
}

// leave marks the play that a host is at as done by it.
func (s *schedule) leave(h *hostRun) {
	s.plays[h.route[0]].open--
	h.route = h.route[1:]
}

// arrive puts a host where it waits for its next play. One that has ended goes through all of them, and those that wait for it go on.
func (s *schedule) arrive(h *hostRun) {
	for h.ending() != nil && len(h.route) > 0 {
		s.leave(h)
	}
	waiters := h.waiters
	h.waiters, h.known = nil, 0
	if len(h.route) > 0 && s.plays[h.route[0]].Related {
		s.wait(h)
	}
	for _, w := range waiters {
		s.wait(w)
	}
}

// wait makes a host ready for its next play, or lets it wait for the first of its related hosts that is not through the plays before.
func (s *schedule) wait(h *hostRun) {
	p := s.plays[h.route[0]]
	for {
		other, ok := s.r.related(h, h.known)
		switch {
		case !ok:
			p.ready = append(p.ready, h)
			return
		case other != nil && other != h && len(other.route) > 0 && other.route[0] < p.index:
			other.waiters = append(other.waiters, h)
			return
		}
		h.known++
	}
}

// release makes the hosts of plays ready that wait for all plays before them.
func (s *schedule) release() {
	for _, p := range s.plays {
		if !p.Related && !p.released {
			p.released = true
			for _, h := range p.all {
				if h.ending() != nil {
					s.arrive(h)
				}
			}
			p.ready = alive(p.all)
			if p.Sizes != nil {
				p.batches = 0
				for left := len(p.ready); left > 0; {
					p.batches++
					left -= p.size(p.batches, left)
				}
			}
		}
		if p.open > 0 {
			return
		}
	}
}

// alive gives the hosts that have no result yet.
func alive(hosts []*hostRun) []*hostRun {
	return slices.DeleteFunc(slices.Clone(hosts), func(h *hostRun) bool { return h.ending() != nil })
}
