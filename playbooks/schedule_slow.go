package playbooks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// patience is how long no host ends its work before those that others wait for are named; each time that it is used up it doubles.
const patience = 30 * time.Second

// slowest is how many of them are named.
const slowest = 3

// next waits for a host to be through.
func (s *schedule) next() *hostRun {
	for limit := patience; ; limit *= 2 {
		select {
		case h := <-s.done:
			return h
		case <-time.After(limit):
			s.tellSlow()
		}
	}
}

// tellSlow names the hosts that others wait for, those that have been at it longest first.
func (s *schedule) tellSlow() {
	held := 0
	for _, h := range s.r.order {
		if _, busy := s.busy[h]; !busy && len(h.route) > 0 && h.ending() == nil {
			held++
		}
	}
	if held == 0 {
		return
	}
	var busy []*hostRun
	for _, h := range s.r.order {
		if _, ok := s.busy[h]; ok {
			busy = append(busy, h)
		}
	}
	slices.SortStableFunc(busy, func(a, b *hostRun) int { return s.busy[a].Compare(s.busy[b]) })
	var names []string
	for _, h := range busy[:min(len(busy), slowest)] {
		task := "beginning"
		if doing := h.doing.Load(); doing != nil {
			task = *doing
		}
		names = append(names, fmt.Sprintf("%s (%s, %s)", h.inv.Name, task, s.r.opt.Now().Sub(s.busy[h]).Round(time.Second)))
	}
	if more := len(busy) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	who := fmt.Sprintf("%d hosts wait", held)
	if held == 1 {
		who = "1 host waits"
	}
	s.r.tell.tell(events.Event{Type: events.Notice, Summary: who + " for " + strings.Join(names, ", ")})
}
