package playbooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

const (
	clockKey = "pgfleet.clock"
	// clockWarn: a host's clock this far off is worth a notice.
	clockWarn = time.Minute
)

// lookAt connects to a host and sees, in one round trip, everything that any task of the run needs of it.
func (r *runner) lookAt(ctx context.Context, h *hostRun) {
	steps := r.needs(h)
	conn, err := r.opt.Dial(ctx, h.inv, steps...)
	if err != nil {
		e := endingOf("connect", err)
		e.kind = events.Unreachable
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			e = &ending{kind: events.Interrupted, reason: "stopped while connecting"}
		}
		r.end(h, e)
		return
	}
	h.doer = &doer{host: h.inv.Name, conn: conn, who: r.who, dir: leaseDir, now: r.opt.Now, readOnly: r.opt.Check,
		gone: r.gone, free: h.inv.Target.Program != ""}
	began := r.opt.Now()
	results, err := h.doer.Do(ctx, steps...)
	if err != nil {
		r.fail(ctx, h, "look", err)
		return
	}
	h.host.View.Put(results...)
	if h.inv.HasRole("db_server") {
		_, _ = tasks.Clusters(h.host) // read here, side by side with other hosts: standbys asks for all of them
	}
	r.clock(ctx, h, results, began)
}

// lookAgain sees anew what some tasks want to know of a host: what the run did not change may have changed meanwhile.
func (r *runner) lookAgain(ctx context.Context, h *hostRun, list []PlannedTask) {
	var steps []transport.Step
	for _, t := range list {
		for _, s := range t.Task.Needs(h.host) {
			if !slices.ContainsFunc(steps, func(other transport.Step) bool { return other.Key == s.Key }) {
				s.Probe = true
				steps = append(steps, s)
			}
		}
	}
	results, err := h.doer.Do(ctx, steps...)
	if err != nil {
		r.fail(ctx, h, "look again", err)
		return
	}
	h.host.View.Put(results...)
}

// gone tells whether the run that holds a lease has certainly ended.
func (r *runner) gone(held *LockedError) bool {
	if held.holder == r.who.holder {
		return held.holder != "" && r.opt.Alive != nil && !r.opt.Alive(held.Run)
	}
	return ended("/proc", held.holder)
}

// needs gives the probes of every task of the run on a host, equal keys once; what those who depend on the host want to know of it: its authorities, and
// of a server that clients of the run use its clusters; and the clock, where none of these tells the time.
func (r *runner) needs(h *hostRun) []transport.Step {
	var steps []transport.Step
	h.probes = map[string]transport.Step{}
	add := func(list ...transport.Step) {
		for _, s := range list {
			if _, ok := h.probes[s.Key]; ok {
				continue
			}
			s.Probe = true
			h.probes[s.Key] = s
			steps = append(steps, s)
		}
	}
	for i := range r.plan.Plays {
		for _, t := range r.plan.Plays[i].Tasks[h.inv.Name] {
			add(t.Task.Needs(h.host)...)
		}
	}
	for _, name := range sortedKeys(r.fleet.Authorities) {
		if a := r.fleet.Authorities[name]; a.Host == h.inv.Name && a.Ours() {
			add(r.with.authority(a))
		}
	}
	if h.inv.HasRole("db_server") && (h.support || r.clients) {
		add(r.with.server(h.host))
	}
	if r.plan.Believers && h.support {
		add(tasks.BelieversProbes(h.host)...)
	}
	if h.inv.Target.Program == "" && !slices.ContainsFunc(steps, func(s transport.Step) bool { return tasks.TellsTime(s.Key) }) {
		steps = slices.Insert(steps, 0, clockStep())
	}
	return steps
}

// clock compares the host's clock with ours, as far as a round trip that began then can tell. Where one of its results tells of a clock that is off, date
// has the word: what probes take the time from is right on every Linux that is known, but written down nowhere.
func (r *runner) clock(ctx context.Context, h *hostRun, results []transport.Result, began time.Time) {
	off := r.skew(results, began)
	asked := slices.ContainsFunc(results, func(res transport.Result) bool { return res.Key == clockKey })
	if off.Abs() > clockWarn && !asked && h.inv.Target.Program == "" {
		began = r.opt.Now()
		results, err := h.doer.Do(ctx, clockStep())
		if err != nil {
			r.fail(ctx, h, "look", err)
			return
		}
		off = r.skew(results, began)
	}
	h.skew = off
	if h.skew.Abs() > clockWarn {
		r.tell.tell(events.Event{Type: events.Notice, Host: h.inv.Name, Summary: fmt.Sprintf("the clock of %s is %s this machine's", h.inv.Name, offBy(h.skew)),
			Hint: fmt.Sprintf("set it right (chrony, systemd-timesyncd); beyond %s nothing is signed for it", pki.Backdate)})
	}
}

// skew gives how far the host's clock is ahead of ours, by results of a round trip that began then; 0 when none of them tells the time.
func (r *runner) skew(results []transport.Result, began time.Time) (off time.Duration) {
	for _, res := range results {
		theirs, ok := clockIn(res)
		if !ok {
			continue
		}
		now := r.opt.Now()
		switch {
		case theirs.After(now):
			off = theirs.Sub(now)
		case theirs.Before(began.Truncate(time.Second)):
			off = theirs.Sub(began.Truncate(time.Second))
		}
	}
	return off
}

// clockStep asks for the host's time alone.
func clockStep() transport.Step {
	return transport.Step{Key: clockKey, Argv: []string{"date", "+%s"}, Probe: true}
}

// clockIn gives the host's time if a result tells it.
func clockIn(res transport.Result) (time.Time, bool) {
	if res.Key != clockKey {
		return tasks.HostTime(res)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(res.Stdout)), 10, 64)
	return time.Unix(seconds, 0), res.Err == nil && err == nil
}

// offBy writes a difference between clocks: "1m30s ahead of".
func offBy(skew time.Duration) string {
	if skew < 0 {
		return fmt.Sprintf("%s behind", skew.Abs().Round(time.Second))
	}
	return fmt.Sprintf("%s ahead of", skew.Round(time.Second))
}

// warnings passes on what the authorities' hosts had to say.
func (r *runner) warnings() {
	w, ok := r.fleet.CA.(signing).Authorities.(interface{ Warnings() []string })
	if !ok {
		return
	}
	for _, text := range w.Warnings() {
		r.tell.tell(events.Event{Type: events.Notice, Summary: text})
	}
}

// fresh gives the probes that show what keys name: as the task asks for them now, else as they were asked for in the look.
func (h *hostRun) fresh(task tasks.Task, keys []string) []transport.Step {
	if len(keys) == 0 {
		return nil
	}
	now := map[string]transport.Step{}
	for _, s := range task.Needs(h.host) {
		now[s.Key] = s
	}
	var steps []transport.Step
	seen := map[string]bool{}
	for _, key := range keys {
		step, ok := now[key]
		if !ok {
			step, ok = h.probes[key]
		}
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		step.Probe = true
		steps = append(steps, step)
	}
	return steps
}
