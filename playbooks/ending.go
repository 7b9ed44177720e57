package playbooks

import (
	"fmt"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// ending tells of lists of revoked certificates that end, and that no task of the run renews; true: there are such.
func (r *runner) ending() bool {
	var told []tasks.EndingList
	for _, h := range r.order {
		if h.doer == nil {
			continue
		}
		for _, p := range r.plan.Plays {
			for _, t := range p.Tasks[h.inv.Name] {
				if w, ok := t.Task.(tasks.Watcher); ok {
					told = append(told, w.Endings(h.host)...)
				}
			}
		}
	}
	told = tasks.MergeEndings(told)
	for _, e := range told {
		r.tell.tell(events.Event{Type: events.Notice, Summary: fmt.Sprintf("%s on %s: %s", e.List, e.Host, e.Why), Hint: e.Hint})
	}
	return len(told) > 0
}
