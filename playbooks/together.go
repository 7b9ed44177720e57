package playbooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// A change that foresees its effect is not sent at once: the host's next task is checked on what is foreseen, and its change goes out in the same
// round trip, behind the first one's steps. Afterwards every one of them is checked on what is really there. Whatever has to be known for
// certain (a connection test, a task that finds nothing to do, the end of a play) makes what is held go out first.

// heldTask is a change that waits for company. sent: its steps have worked; what is left is the look.
type heldTask struct {
	run     *taskRun
	change  *tasks.Change
	closing []transport.Step
	sent    bool
}

// errEarlier says that a round trip ended at the steps of a task held before, which has ended the host.
var errEarlier = errors.New("an earlier task of the same round trip failed")

// errBeside says that the task's own steps have worked, and that a task held before, of the same round trip, has ended the host.
var errBeside = errors.New("an earlier task of the same round trip failed, so this was not proved")

// hold keeps a change back for company.
func (t *taskRun) hold(change *tasks.Change, closing []transport.Step) {
	t.held = true
	t.h.held = append(t.h.held, heldTask{run: t, change: change, closing: closing})
	change.Foresee(t.h.host.View)
}

// mayHold tells whether a change can wait for the host's next task: not where the run has to know at once how it went.
func (t *taskRun) mayHold(change *tasks.Change) bool {
	_, proves := t.task.Task.(tasks.Prover)
	_, verifies := t.task.Task.(tasks.Verifier)
	return change.Foresee != nil && !t.last && !proves && !verifies
}

// together sends steps behind those of the changes held before, and gives the results of steps alone. errEarlier: one of those failed.
func (t *taskRun) together(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	var all []transport.Step
	for _, e := range t.h.held {
		if !e.sent {
			all = append(all, e.closing...)
		}
	}
	all = append(all, steps...)
	if len(all) == 0 {
		return nil, nil
	}
	results, err := t.send(ctx, all)
	if err != nil {
		if len(t.h.held) == 0 {
			return nil, err
		}
		t.lose(ctx, 0, err)
		return nil, errEarlier
	}
	for i := range t.h.held {
		e := &t.h.held[i]
		if e.sent {
			continue
		}
		n := min(len(e.closing), len(results))
		if err := e.worked(results[:n]); err != nil {
			t.lose(ctx, i, err)
			return nil, errEarlier
		}
		e.sent, results = true, results[n:]
	}
	return results, nil
}

// send sends steps of which some that follow each other are joined, and gives the results of each. Where joined ones fail, they and what follows are sent as they are.
func (t *taskRun) send(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	var sent []transport.Step
	var does []int // how many of steps each of sent does
	for _, s := range steps {
		last := len(sent) - 1
		if last >= 0 {
			if both, ok := tasks.Joined(sent[last], s); ok {
				sent[last] = both
				does[last]++
				continue
			}
		}
		sent, does = append(sent, s), append(does, 1)
	}
	results, err := t.h.doer.Do(ctx, sent...)
	if err != nil {
		return nil, err
	}
	var out []transport.Result
	for i, r := range results {
		if does[i] > 1 && r.Err != nil {
			again, err := t.h.doer.Do(ctx, steps[len(out):]...)
			return append(out, again...), err
		}
		for range does[i] {
			out = append(out, r)
		}
	}
	return out, nil
}

// worked reads what came of a change's closing steps.
func (e *heldTask) worked(results []transport.Result) error {
	if e.change.Then != nil {
		if err := e.change.Then(results); err != nil {
			return err
		}
	}
	return transport.Failed(e.closing, results)
}

// lose ends the host by the failure of what is held at i. What went out before it is looked at, what was to follow did not begin.
func (t *taskRun) lose(ctx context.Context, i int, cause error) {
	lost := t.h.held[i:]
	t.h.held = t.h.held[:i]
	if i > 0 && !t.flush(ctx) {
		cause = errEarlier
	}
	for n, e := range lost {
		if n == 0 && !errors.Is(cause, errEarlier) {
			e.run.ended(e.run.r.fail(ctx, t.h, e.run.label(), cause))
		} else {
			e.run.notBegun()
		}
		e.run.told()
	}
	t.h.held = nil
}

// notBegun is the event of a task whose turn did not come, because one before it in the same round trip failed.
func (t *taskRun) notBegun() {
	t.event.Kind, t.event.Reason, t.event.Summary, t.event.Diff = events.Skipped, "not begun: an earlier task failed", "", ""
	if e := t.h.ending(); e != nil && e.kind == events.Unreachable {
		t.event.Reason = "not known whether it was begun: the connection was lost"
	}
}

// probes are those that show what every change held, and t's own, have made.
func (t *taskRun) probes(touches []string) []transport.Step {
	var out []transport.Step
	seen := map[string]bool{}
	add := func(task tasks.Task, keys []string) {
		for _, step := range t.h.fresh(task, keys) {
			if !seen[step.Key] {
				seen[step.Key] = true
				out = append(out, step)
			}
		}
	}
	add(t.task.Task, touches)
	for _, e := range t.h.held {
		add(e.run.task.Task, e.change.Touches)
	}
	return out
}

// flush sends what is held and not sent, looks, and settles it. False: that ended the host.
func (t *taskRun) flush(ctx context.Context) bool {
	if len(t.h.held) == 0 {
		return true
	}
	results, err := t.together(ctx, t.probes(nil))
	if err != nil {
		return false
	}
	t.h.host.View.Put(results...)
	return t.settle(ctx)
}

// settle checks everything held on what was found after it, and tells how it went. False: one of them ended the host.
func (t *taskRun) settle(ctx context.Context) bool {
	held := t.h.held
	t.h.held = nil
	for i, e := range held {
		if err := e.run.settled(ctx, true); err != nil {
			e.run.ended(e.run.r.fail(ctx, t.h, e.run.label(), err))
			e.run.told()
			for _, later := range held[i+1:] {
				later.run.beside(ctx)
				later.run.told()
			}
			return false
		}
		e.run.event.Kind = events.Changed
		t.changed()
		e.run.told()
	}
	return true
}

// beside is the event of a task whose steps have worked, while one before it in the same round trip has ended the host: it says what is so.
func (t *taskRun) beside(ctx context.Context) {
	again, err := t.task.Task.Check(ctx, t.h.host)
	_, proves := t.task.Task.(tasks.Prover)
	switch {
	case err != nil || again != nil:
		t.event.Kind, t.event.Reason = events.Skipped, "begun, but not seen to be done: an earlier task failed"
	case proves:
		t.event.Kind, t.event.Reason = events.Skipped, "done, but not proved: an earlier task failed"
	default:
		t.event.Kind = events.Changed
		t.changed()
	}
}

// settled checks again after the change. shared: the round trip was shared with other changes, and when one of them made something else of it (it
// was foreseen wrongly, or wants the same thing otherwise) the task is done once more, on what is there.
func (t *taskRun) settled(ctx context.Context, shared bool) error {
	again, err := t.task.Task.Check(ctx, t.h.host)
	wait := tasks.AsWaiting(err)
	switch {
	case wait != nil: // what could be done is done
		t.waits(wait)
		return nil
	case err != nil:
		return fmt.Errorf("after the change: %w", err)
	case again == nil:
		return nil
	case shared:
		t.event.Summary, t.event.Diff, t.last = again.Summary, again.Diff, true
		return t.carryOut(ctx, again)
	}
	return fmt.Errorf("still wants: %s", again.Summary)
}

// companion is the doer of a change whose own round trips take along what is held.
type companion struct {
	*doer
	run *taskRun
}

// Do sends steps, and before them what is held, if they change something.
func (c companion) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	if !changes(steps) {
		return c.doer.Do(ctx, steps...)
	}
	return c.run.together(ctx, steps)
}
