package playbooks

import (
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// What waits for somebody else: an authority that is offline or not ours. Nobody has failed; everything else is done, and the run's exit code says that changes are
// pending.

// preparing are the kinds of task that only put files in place. A host that cannot be gone on with is still brought as far as they bring it in the same play, so that everything
// that has to be asked for is asked for at once.
var preparing = map[string]bool{"authority": true, "certificate": true, "trust": true}

// waits notes what a task waits for.
func (t *taskRun) waits(wait *tasks.WaitingError) {
	t.h.waiting = append(t.h.waiting, wait)
	if t.event.Kind == events.OK {
		t.event.Kind = events.Skipped
	}
	t.event.Reason = wait.Error()
	if t.r.opt.Check {
		return
	}
	if err := wait.Keep(); err != nil {
		t.note([]string{"what is missed could not be noted beside the inventory: " + err.Error()})
	}
	if !wait.Soft && t.h.stuck == nil {
		t.h.stuck = wait
		t.r.fleet.Proofs.NoteWaiting(t.h.inv.Name, wait)
	}
}

// stuck ends a host that cannot be gone on with, once a play has done for it what it could.
func (r *runner) stuck(h *hostRun) {
	if h.stuck != nil {
		r.end(h, &ending{kind: events.Skipped, reason: h.stuck.Error(), waits: true})
	}
}

// waiting tells, once an authority, how much it is waited for.
func (r *runner) waiting() {
	var names []string
	asked := map[string][]string{}
	for _, h := range r.order {
		for _, w := range h.waiting {
			if !slices.Contains(names, w.Authority) {
				names = append(names, w.Authority)
			}
			for _, what := range w.What {
				if !slices.Contains(asked[w.Authority], what) {
					asked[w.Authority] = append(asked[w.Authority], what)
				}
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		n, what := len(asked[name]), "answers"
		if kept := tasks.Asked(r.fleet.Authorities, name, r.fleet.Now); kept > 0 {
			n = kept // with what earlier runs have asked for, and the lists that go with it
		}
		if n == 1 {
			what = "answer"
		}
		r.tell.tell(events.Event{Type: events.Notice, Summary: fmt.Sprintf("waiting for %d %s of authority %s", n, what, name),
			Hint: hintOf(&tasks.WaitingError{})})
	}
}
