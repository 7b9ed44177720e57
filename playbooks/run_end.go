package playbooks

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// goodbyeLimit bounds what a host may cost at the end of a run: its lease ends by itself.
const goodbyeLimit = 5 * time.Second

// fail ends a host by an error of a task ("" for none). When the run itself was cut, the host was interrupted.
func (r *runner) fail(ctx context.Context, h *hostRun, task string, err error) *ending {
	e := endingOf(task, err)
	if ctx.Err() != nil {
		e = &ending{kind: events.Interrupted, reason: "stopped"}
		if task != "" {
			e.reason = "stopped in " + task
		}
	}
	r.end(h, e)
	return e
}

// end gives a host its result and counts it against the budget.
func (r *runner) end(h *hostRun, e *ending) {
	if !h.finish(e) {
		return
	}
	if e.waits {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[h.inv.Name] = true
	switch e.kind {
	case events.Failed, events.Unreachable, events.Unverified, events.RolledBack:
		if h.support || e.kind == events.Unreachable && h.doer == nil && r.plan.LeaveOutUnreachable {
			return
		}
		if e.kind == events.Unverified {
			h.at.unverified++
		}
		if r.failures++; r.failures == 1 {
			r.first = h.inv.Name + " " + strings.ReplaceAll(string(e.kind), "_", " ")
			if e.locked {
				r.first = h.inv.Name + " held by another run"
			}
		}
	}
}

// caught makes a defect in a task the result of its host instead of the end of the program.
func (r *runner) caught(h *hostRun) {
	if v := recover(); v != nil {
		r.end(h, &ending{kind: events.Failed, internal: true, reason: fmt.Sprintf("internal error: %v", v),
			hint: "this is a defect of pgfleet; please report it with the stack", stack: string(debug.Stack())})
	}
}

// blockedBy names a host that this one depends on and that ended early, "" when there is none.
func (r *runner) blockedBy(h *hostRun) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.broken) == 0 || r.plan.BestEffort {
		return ""
	}
	if !h.depsKnown {
		h.deps, h.depsKnown = r.plan.Inventory.Dependencies(h.inv), true
	}
	for _, name := range h.deps {
		if r.broken[name] && r.hosts[name].ending().kind != events.Unverified {
			return name
		}
	}
	return ""
}

// goodbye gives leases back and closes connections, also when the run was cut.
func (r *runner) goodbye(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	places := make(chan struct{}, cap(r.slots))
	var wg sync.WaitGroup
	for _, h := range r.order {
		if h.doer == nil {
			continue
		}
		places <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-places }()
			if e := h.ending(); e == nil || e.kind != events.Unreachable {
				limited, cancel := context.WithTimeout(ctx, goodbyeLimit)
				h.doer.release(limited)
				cancel()
			}
			_ = h.doer.conn.Close()
		}()
	}
	wg.Wait()
}

// unfinished gives hosts that still had something to do the reason why nobody did it.
func (r *runner) unfinished() {
	spent := r.spent(nil)
	for _, h := range r.order {
		if h.ending() != nil || h.left == 0 && (h.doer != nil || h.support) {
			continue
		}
		if spent {
			r.end(h, &ending{kind: events.Skipped, reason: fmt.Sprintf("not gone on with: %s, and max_failures is %d", r.first, r.plan.MaxFailures),
				hint: "repair that host, leave it out with -l, or go on in spite of it with --max-failures (run, task, rotate and rotate-ca have it)"})
			continue
		}
		r.end(h, &ending{kind: events.Interrupted, reason: fmt.Sprintf("stopped with %d tasks to go", h.left)})
	}
}

// finished tells every host's result and the run's.
func (r *runner) finished() *Outcome {
	r.unfinished()
	r.waiting()
	ends := r.ending()
	out := &Outcome{Run: r.id, Hosts: make(map[string]HostResult, len(r.order))}
	counts := map[string]int{}
	for _, kind := range kinds {
		counts[string(kind)] = 0
	}
	total := Ending{Expiring: ends}
	for _, h := range r.order {
		out.Cells = append(out.Cells, h.cells...)
		result, e := HostResult{Kind: h.result(), Changed: h.changed}, h.ending()
		if h.doer != nil {
			result.Stats = h.doer.stats()
		}
		if e != nil {
			result.Kind, result.Reason = e.kind, e.reason
			total.Internal = total.Internal || e.internal
		}
		if h.support && e == nil && !h.signed.Load() {
			continue
		}
		total.Pending = total.Pending || (r.opt.DetailedExit && h.pending > 0) || (len(h.waiting) > 0 && (!r.opt.Check || r.opt.DetailedExit))
		if e != nil && e.locked {
			total.Locked = true
		} else {
			total.Add(result.Kind)
		}
		counts[string(result.Kind)]++
		out.Hosts[h.inv.Name] = result
		r.tell.tell(hostEvent(h, result, e))
	}
	out.Exit = total.ExitCode()
	r.runFinished(out.Exit, counts, "")
	return out
}

// kinds are the results of a host, for counting.
var kinds = []events.Kind{events.OK, events.WouldChange, events.Changed, events.Skipped, events.Failed, events.Unreachable,
	events.Unverified, events.RolledBack, events.Interrupted}

func hostEvent(h *hostRun, result HostResult, e *ending) events.Event {
	data := map[string]any{"changed": h.changed, "connections": result.Stats.Connections, "round_trips": result.Stats.RoundTrips,
		"file_batches": result.Stats.FileBatches, "files": result.Stats.Files}
	if h.support {
		data["support"] = true
	}
	out := events.Event{Type: events.Host, Host: h.inv.Name, Kind: result.Kind, Reason: result.Reason, TookMS: h.took.Milliseconds(), Data: data}
	if e != nil {
		out.Hint = e.hint
		if e.stack != "" {
			data["stack"] = e.stack
		}
	}
	return out
}

// started tells what is going to happen.
func (r *runner) started() {
	r.tell.tell(events.Event{Type: events.RunStarted, Summary: r.plan.Playbook, Data: map[string]any{
		"playbook": r.plan.Playbook, "hosts": len(r.plan.Hosts), "support": len(r.plan.Support), "check": r.opt.Check}})
	for _, text := range r.plan.Warnings {
		r.tell.tell(events.Event{Type: events.Notice, Summary: text})
	}
}

// lockedOut ends a run that did not get its lock.
func (r *runner) lockedOut(err error) *Outcome {
	out := &Outcome{Run: r.id, Exit: ExitInternal}
	if errors.Is(err, ErrLocked) {
		out.Exit = ExitLocked
	}
	r.tell.tell(events.Event{Type: events.Lock, Kind: events.Failed, Reason: err.Error(), Hint: hintOf(err)})
	r.runFinished(out.Exit, map[string]int{}, err.Error())
	return out
}

func (r *runner) runFinished(exit int, counts map[string]int, reason string) {
	kind := events.OK
	switch exit {
	case ExitOK, ExitPending, ExitExpiring:
	case ExitInterrupted:
		kind = events.Interrupted
	default:
		kind = events.Failed
	}
	r.tell.tell(events.Event{Type: events.RunFinished, Kind: kind, Reason: reason, Data: map[string]any{"exit_code": exit, "counts": counts}})
}
