package playbooks

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// A lease keeps two runs off one host, whichever controllers they start from. It is the file /run/pgfleet/lock on the host, with an end by
// that host's clock, so that a run that died does not hold it for ever.
const (
	leaseDir  = "/run/pgfleet"
	leaseLife = 10 * time.Minute
	// leaseRenew: older than this, a lease is renewed by the next round trip that changes something. leaseLife less this is longer
	// than any step's usual limit.
	leaseRenew = 3 * time.Minute
	// leaseHeld is the exit code with which lease_take.sh says that another run has it.
	leaseHeld = 75
	leaseKey  = "pgfleet.lease"
)

//go:embed lease_take.sh
var leaseTake string

//go:embed lease_release.sh
var leaseRelease string

// ErrLocked says that another run works on the host. errors.As with *LockedError gives the holder.
var ErrLocked = errors.New("another run works here")

// LockedError is a lease that another run holds.
type LockedError struct {
	// Host; Owner and Run of the holder; Since and Until by the host's clock.
	Host, Owner, Run string
	Since, Until     time.Time

	// holder identifies the holder's process on its machine.
	holder string
}

// Error names the holder and since when.
func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is held by %s (run %s) since %s", e.Host, e.Owner, e.Run, e.Since.UTC().Format(time.RFC3339))
}

// Unwrap gives ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// Hint says when the lease ends by itself.
func (e *LockedError) Hint() string {
	return fmt.Sprintf("wait for that run to end; if it died, its lease ends by itself at %s by the clock of %s", e.Until.UTC().Format(time.RFC3339), e.Host)
}

// tenant is who takes leases: a run, its owner as shown to others, and its process.
type tenant struct{ run, owner, holder string }

// takeStep takes or renews the lease. over, if not "", is the id of a run known to have died, whose lease is taken over.
func (t tenant) takeStep(dir, over string) transport.Step {
	life := fmt.Sprint(int(leaseLife / time.Second))
	return transport.Step{Key: leaseKey, Shell: leaseTake, Argv: []string{dir, t.run, oneLine(t.owner), t.holder, life, over}, Limit: 40 * time.Second}
}

// releaseStep gives the lease back if it is this run's.
func (t tenant) releaseStep(dir string) transport.Step {
	return transport.Step{Key: leaseKey, Shell: leaseRelease, Argv: []string{dir, t.run}, Limit: 5 * time.Second}
}

// leaseError reads what lease_take.sh answered; nil: the lease is ours.
func leaseError(host string, r transport.Result) error {
	if r.Err == nil {
		return nil
	}
	if r.Code != leaseHeld {
		return fmt.Errorf("take the lease of %s: %w", host, r.Err)
	}
	lines := strings.Split(string(r.Stdout), "\n")
	if len(lines) < 5 {
		return fmt.Errorf("take the lease of %s: answer not understood: %q", host, r.Stdout)
	}
	e := &LockedError{Host: host, Run: lines[0], Owner: lines[1], holder: lines[2]}
	for i, at := range []*time.Time{&e.Until, &e.Since} {
		var seconds int64
		if _, err := fmt.Sscan(lines[3+i], &seconds); err != nil {
			return fmt.Errorf("take the lease of %s: answer not understood: %q", host, r.Stdout)
		}
		*at = time.Unix(seconds, 0)
	}
	return e
}

// oneLine makes a text safe as one line of the lock file.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
