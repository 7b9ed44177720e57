package playbooks

import (
	"testing"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// TestExitCode: each thing alone, and of every two the one that comes first.
func TestExitCode(t *testing.T) {
	order := []struct {
		set  func(*Ending)
		code int
	}{
		{func(e *Ending) { e.Internal = true }, 1},
		{func(e *Ending) { e.Add(events.Interrupted) }, 130},
		{func(e *Ending) { e.Add(events.Failed) }, 2},
		{func(e *Ending) { e.Add(events.RolledBack) }, 2},
		{func(e *Ending) { e.Add(events.Unverified) }, 3},
		{func(e *Ending) { e.Add(events.Unreachable) }, 4},
		{func(e *Ending) { e.Locked = true }, 6},
		{func(e *Ending) { e.Expiring = true }, 8},
		{func(e *Ending) { e.Pending = true }, 7},
		{func(e *Ending) { e.Add(events.OK) }, 0},
		{func(e *Ending) { e.Add(events.Changed) }, 0},
		{func(e *Ending) { e.Add(events.WouldChange) }, 0},
		{func(e *Ending) { e.Add(events.Skipped) }, 0},
	}
	for i, first := range order {
		for _, second := range order[i:] {
			var e Ending
			second.set(&e)
			first.set(&e)
			if got := e.ExitCode(); got != first.code {
				t.Errorf("%d and %d give %d", first.code, second.code, got)
			}
		}
	}
}
