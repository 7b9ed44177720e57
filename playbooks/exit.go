package playbooks

import "github.com/pgfleet/pgfleet/playbooks/events"

// The exit codes of pgfleet.
const (
	ExitOK          = 0
	ExitInternal    = 1
	ExitFailed      = 2
	ExitUnverified  = 3
	ExitUnreachable = 4
	ExitUsage       = 5
	ExitLocked      = 6
	ExitPending     = 7
	ExitExpiring    = 8
	ExitInterrupted = 130
)

// Ending is everything that decides an exit code.
type Ending struct {
	// Internal: a defect of pgfleet. Interrupted: by the user. Failed, Unverified, Unreachable: at least one host.
	Internal, Interrupted, Failed, Unverified, Unreachable bool
	// Locked: another run holds the inventory or a host. Expiring: something ends within --fail-within, or a list that a run does not renew. Pending: --check found changes and
	// the user asked for the detailed code.
	Locked, Expiring, Pending bool
}

// Add counts one host's result in.
func (e *Ending) Add(kind events.Kind) {
	switch kind {
	case events.Failed, events.RolledBack:
		e.Failed = true
	case events.Unverified:
		e.Unverified = true
	case events.Unreachable:
		e.Unreachable = true
	case events.Interrupted:
		e.Interrupted = true
	}
}

// ExitCode gives the code; when several things hold, the first of 1, 130, 2, 3, 4, 6, 8, 7.
func (e Ending) ExitCode() int {
	for _, c := range []struct {
		holds bool
		code  int
	}{
		{e.Internal, ExitInternal},
		{e.Interrupted, ExitInterrupted},
		{e.Failed, ExitFailed},
		{e.Unverified, ExitUnverified},
		{e.Unreachable, ExitUnreachable},
		{e.Locked, ExitLocked},
		{e.Expiring, ExitExpiring},
		{e.Pending, ExitPending},
	} {
		if c.holds {
			return c.code
		}
	}
	return ExitOK
}
