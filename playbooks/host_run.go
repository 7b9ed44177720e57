package playbooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// hostRun is one host during a run. All but the atomic fields belong to the goroutine that works on the host.
type hostRun struct {
	inv     *inventory.Host
	host    *tasks.Host
	support bool
	doer    *doer
	// probes are the needs of the whole run by key.
	probes map[string]transport.Step
	// deps are the hosts without which this one cannot get what it needs; found out when the first host of the run fails.
	deps      []string
	depsKnown bool
	// depth: see standbys.
	depth int
	// skew is the host's clock less ours, as far as the look could tell.
	skew time.Duration
	// left counts tasks not begun; changed, pending those that changed or would change something.
	left, changed, pending int
	cells                  []tasks.Cell
	// waiting are those that somebody else has to end, in the order found; stuck: without one of them the host cannot be gone on with.
	waiting []*tasks.WaitingError
	stuck   *tasks.WaitingError
	took    time.Duration
	// held are changes that wait to be sent, or to be looked at, together with the next one.
	held []heldTask
	// route are the plays (by index) that it is not through with, the first one that it is at or waits for. known counts related hosts that are through
	// what it waits for, waiters are hosts that wait for it: see schedule.
	route   []int
	known   int
	waiters []*hostRun
	// at is the play whose tasks are done; doing names the task of the moment.
	at    *playRun
	doing atomic.Pointer[string]

	end atomic.Pointer[ending]
	// signed: an authority on it signed for another host.
	signed atomic.Bool
}

// ending is the one result of a host that did not come through.
type ending struct {
	kind         events.Kind
	reason, hint string
	locked       bool
	internal     bool
	stack        string
	// waits: somebody else has to act first. It keeps nobody from going on who does not meet what is missing.
	waits bool
}

// String gives kind and reason for those who depend on the host.
func (e *ending) String() string {
	return fmt.Sprintf("it is %s (%s)", strings.ReplaceAll(string(e.kind), "_", " "), e.reason)
}

func (h *hostRun) ending() *ending { return h.end.Load() }

// finish gives the host its result unless it has one; true when this call did.
func (h *hostRun) finish(e *ending) bool { return h.end.CompareAndSwap(nil, e) }

// result is the host's result when nothing ended it early.
func (h *hostRun) result() events.Kind {
	switch {
	case h.changed > 0:
		return events.Changed
	case h.pending > 0:
		return events.WouldChange
	}
	return events.OK
}

// endingOf sorts an error into a host's result.
func endingOf(task string, err error) *ending {
	e := &ending{kind: events.Failed, reason: err.Error(), hint: hintOf(err)}
	if task != "" {
		e.reason = task + ": " + e.reason
	}
	var depends *dependencyError
	switch {
	case errors.As(err, &depends):
		e.kind = events.Skipped
	case errors.Is(err, context.Canceled): // where Ctrl-C has ended a question, the context is not over
		e = &ending{kind: events.Interrupted, reason: "stopped in " + task}
	case errors.Is(err, transport.ErrUnreachable):
		e.kind = events.Unreachable
	case errors.Is(err, ErrLocked):
		e.locked = true
	}
	return e
}

// hintOf gives what the user can do about an error, if it knows.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
