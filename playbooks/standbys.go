package playbooks

import (
	"slices"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// standbys notes how far each server is from its primary, as the look found them: what changes a primary has been done to its standbys before. It tells of
// primaries that the inventory does not have.
func (r *runner) standbys() {
	for _, h := range r.order {
		if h.ending() != nil || !h.inv.HasRole("db_server") {
			continue
		}
		h.depth = tasks.StandbyDepth(h.host)
		for _, text := range tasks.StrayStandbys(h.host) {
			r.tell.tell(events.Event{Type: events.Notice, Host: h.inv.Name, Summary: text})
		}
	}
}

// standbysFirst puts hosts that are further from their primary before the others, which stay in their order.
func standbysFirst(hosts []*hostRun) {
	slices.SortStableFunc(hosts, func(a, b *hostRun) int { return b.depth - a.depth })
}
