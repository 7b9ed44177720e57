package playbooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// taskRun is one task on one host.
type taskRun struct {
	r    *runner
	h    *hostRun
	play string
	task *PlannedTask
	// last: no task of the play follows on this host.
	last bool

	// event is what will be told of it; held: not yet, the change waits for company.
	event events.Event
	held  bool
	began time.Time
}

// label names the task to the user.
func (t *taskRun) label() string {
	if t.task.Name != "" {
		return t.task.Name
	}
	return t.task.Kind
}

// run does the task and tells how it went, unless its change is held.
func (t *taskRun) run(ctx context.Context) {
	t.began = t.r.opt.Now()
	label := t.label()
	t.h.doing.Store(&label)
	change, ok, looked := t.look(ctx)
	if !ok {
		return
	}
	base := events.Event{Play: t.play, Task: t.label(), Host: t.h.inv.Name, Data: map[string]any{"kind": t.task.Kind}}
	base.Type = events.TaskStarted
	t.r.tell.tell(base)
	t.event = base
	t.event.Type, t.event.Kind = events.Task, events.OK
	t.event.Data = map[string]any{"kind": t.task.Kind}
	defer func() {
		if !t.held {
			t.told()
		}
	}()
	err := t.do(ctx, change, looked)
	if errors.Is(err, errEarlier) || !t.held && !t.flush(ctx) {
		t.notBegun()
		return
	}
	if wait := tasks.AsWaiting(err); wait != nil {
		t.waits(wait)
		return
	}
	if err != nil {
		t.ended(t.r.fail(ctx, t.h, t.label(), err))
	}
}

// changed counts a change of the host, and notes it for the tasks that follow.
func (t *taskRun) changed() {
	t.h.changed++
	t.r.fleet.Proofs.NoteChange(t.h.inv.Name)
}

// told tells the task's event.
func (t *taskRun) told() {
	t.event.TookMS = t.r.opt.Now().Sub(t.began).Milliseconds()
	t.r.tell.tell(t.event)
}

// ended lets the task's event show what ended the host.
func (t *taskRun) ended(e *ending) {
	t.event.Kind, t.event.Reason, t.event.Hint = e.kind, e.reason, e.hint
}

// look asks the task what is to be changed. Only a change is believed on what is foreseen; for everything else, what is held goes out
// first. ok is false when that ended the host. err is a refusal, or ErrPending.
func (t *taskRun) look(ctx context.Context) (change *tasks.Change, ok bool, err error) {
	change, err = t.task.Task.Check(ctx, t.h.host)
	_, verifies := t.task.Task.(tasks.Verifier)
	if len(t.h.held) == 0 || change != nil && err == nil && !verifies && t.r.blockedBy(t.h) == "" {
		return change, true, err
	}
	if !t.flush(ctx) {
		return nil, false, nil
	}
	change, err = t.task.Task.Check(ctx, t.h.host)
	return change, true, err
}

// do carries out what the look has found; what it gives is the host's end.
func (t *taskRun) do(ctx context.Context, change *tasks.Change, err error) error {
	pending := errors.Is(err, tasks.ErrPending)
	if err != nil && !pending {
		return t.r.consequence(err)
	}
	verifier, verifies := t.task.Task.(tasks.Verifier)
	if change == nil && !pending && !verifies {
		return nil
	}
	if on := t.r.blockedBy(t.h); on != "" && (change != nil || !verifies || t.r.hosts[on].ending().kind != events.Unreachable) {
		return &dependencyError{host: on, reason: t.r.whyNot(on)} // of a host that cannot be reached, a connection test can say so itself
	}
	switch {
	case t.r.opt.Check:
		t.foresee(change, err, verifies)
		return nil
	case pending:
		return &lackError{err}
	case change != nil:
		if err := t.apply(ctx, change); err != nil || t.h.ending() != nil {
			return err
		}
	}
	if verifies {
		return t.verify(ctx, verifier)
	}
	return nil
}

// foresee tells what would be done; pending, if not nil, what that depends on.
func (t *taskRun) foresee(change *tasks.Change, pending error, verifies bool) {
	switch {
	case pending != nil:
		t.event.Kind, t.event.Summary = events.WouldChange, "("+unknown(pending)+")"
		// What it would do is not known, only what it looks at: that is not to be relied on by the tasks after it.
		for _, step := range t.task.Task.Needs(t.h.host) {
			t.h.host.View.Plan(step.Key)
		}
		t.h.pending++
	case change != nil:
		t.note(change.Notes)
		t.event.Kind, t.event.Summary, t.event.Diff = events.WouldChange, change.Summary, change.Diff
		t.h.host.View.Plan(change.Touches...)
		t.h.pending++
	case verifies:
		t.event.Kind, t.event.Reason = events.Skipped, "a check makes no test connections"
	}
}

// apply makes a change, sees that nothing more is wanted, and has it proved where the task can. When that fails after something was
// changed, a task that can undo brings the state of before back.
func (t *taskRun) apply(ctx context.Context, change *tasks.Change) error {
	t.note(change.Notes)
	t.event.Summary, t.event.Diff = change.Summary, change.Diff
	before := t.h.doer.changed()
	err := t.carryOut(ctx, change)
	prover, proves := t.task.Task.(tasks.Prover)
	if err == nil && proves {
		if err = t.prove(ctx, prover); err != nil {
			err = fmt.Errorf("prove: %w", err)
		}
	}
	if t.held {
		return nil
	}
	if err == nil {
		t.event.Kind = events.Changed
		t.changed()
		return nil
	}
	if proves && !errors.Is(err, errEarlier) && t.h.doer.changed() > before && ctx.Err() == nil && !t.lost(err) {
		return t.rollBack(ctx, prover, change, err)
	}
	if errors.Is(err, errBeside) {
		t.beside(ctx)
		return nil
	}
	return err
}

// lost tells whether the host cannot be reached any more.
func (t *taskRun) lost(err error) bool {
	e := t.h.ending()
	return errors.Is(err, transport.ErrUnreachable) || e != nil && e.kind == events.Unreachable
}

// prove has the host's state seen by a new connection, and tells what could not be shown.
func (t *taskRun) prove(ctx context.Context, prover tasks.Prover) error {
	err := prover.Prove(ctx, t.h.host, t.h.doer)
	if n, ok := prover.(interface{ Notes() []string }); ok {
		t.note(n.Notes())
	}
	return err
}

// note tells what the user should know besides.
func (t *taskRun) note(notes []string) {
	for _, note := range notes {
		t.r.tell.tell(events.Event{Type: events.Notice, Play: t.play, Task: t.label(), Host: t.h.inv.Name, Summary: note})
	}
}

// carryOut applies, sends the closing steps with the probes that show their effect, and checks again; or holds them back for the next task.
func (t *taskRun) carryOut(ctx context.Context, change *tasks.Change) error {
	closing, err := change.Apply(ctx, companion{t.h.doer, t})
	if err != nil {
		return err
	}
	if t.mayHold(change) {
		t.hold(change, closing)
		return nil
	}
	shared := len(t.h.held) > 0
	probes := slices.DeleteFunc(t.probes(change.Touches), func(s transport.Step) bool { return slices.Contains(change.Shows, s.Key) })
	results, err := t.together(ctx, append(closing[:len(closing):len(closing)], probes...))
	if err != nil {
		return err
	}
	n := min(len(closing), len(results))
	own := heldTask{run: t, change: change, closing: closing}
	if err := own.worked(results[:n]); err != nil {
		if !t.flush(ctx) {
			return errEarlier
		}
		return err
	}
	t.h.host.View.Put(slices.DeleteFunc(results[:n:n], func(r transport.Result) bool { return !slices.Contains(change.Shows, r.Key) })...)
	t.h.host.View.Put(results[n:]...)
	if !t.settle(ctx) {
		return errBeside
	}
	return t.settled(ctx, shared)
}

// rollBack brings the files of before back and has them proved. The host ends as rolled back, or as failed when that did not work.
func (t *taskRun) rollBack(ctx context.Context, prover tasks.Prover, change *tasks.Change, cause error) error {
	undo := prover.Undo(t.h.host)
	if len(undo) == 0 {
		return cause
	}
	steps := append(undo[:len(undo):len(undo)], t.h.fresh(t.task.Task, change.Touches)...)
	results, err := t.h.doer.Do(ctx, steps...)
	if err == nil {
		err = transport.Failed(undo, results[:min(len(undo), len(results))])
	}
	if err != nil {
		return fmt.Errorf("%w; the files of before could not be brought back: %w", cause, err)
	}
	t.h.host.View.Put(results[len(undo):]...)
	if err := t.prove(ctx, prover); err != nil {
		return fmt.Errorf("%w; the files of before are back, but not proved: %w", cause, err)
	}
	e := endingOf(t.label(), cause)
	e.kind, e.reason = events.RolledBack, e.reason+"; the files of before are back and proved"
	t.r.end(t.h, e)
	t.ended(e)
	return nil
}

// verify makes the task's test connections. One that ends otherwise than wanted makes the host unverified; nothing is rolled back for it.
func (t *taskRun) verify(ctx context.Context, verifier tasks.Verifier) error {
	cells, err := verifier.Verify(ctx, t.h.host, t.h.doer)
	t.h.cells = append(t.h.cells, cells...)
	t.event.Data["cells"] = eventCells(cells)
	if err != nil {
		return err
	}
	bad, first := 0, ""
	for _, c := range cells {
		if c.OK || c.NotProven {
			continue
		}
		if bad++; bad == 1 {
			first = fmt.Sprintf("%s to %s as %s, %s: wanted %s, got %s", c.Client, c.Target, c.Identity, c.Check, c.Want, c.Got)
		}
	}
	if bad > 0 {
		e := &ending{kind: events.Unverified, reason: fmt.Sprintf("%s: %d of %d connection tests differ: %s", t.label(), bad, len(cells), first)}
		t.r.end(t.h, e)
		t.ended(e)
	}
	return nil
}

// eventCells gives cells in their stable JSON form.
func eventCells(cells []tasks.Cell) []events.Cell {
	out := make([]events.Cell, len(cells))
	for i, c := range cells {
		out[i] = events.Cell(c)
	}
	return out
}

// unknown gives what is not known yet and why: "certificate of authority servers: known after apply", without what was being done with it.
func unknown(pending error) string {
	parts := strings.Split(strings.Join(strings.Fields(pending.Error()), " "), ": ")
	return strings.Join(parts[max(0, len(parts)-2):], ": ")
}
