package tasks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// WaitingError says that somebody else has to act before a task can go on: an authority that is offline or not ours has to sign. Everything that could be done
// without was done.
type WaitingError struct {
	// Authority that has to act; What is asked of it, in words.
	Authority string
	What      []string
	// Soft: what is in force goes on to serve, so the host's next tasks can be done. Otherwise they would lack what is waited for.
	Soft bool

	keep []func() error
}

// Keep notes on the authorities' desks what is missed, where nobody has asked for it yet. A run calls it; a check that changes nothing does not.
func (e *WaitingError) Keep() error {
	var errs []error
	for _, keep := range e.keep {
		errs = append(errs, keep())
	}
	return errors.Join(errs...)
}

// Error names the authority and what it is asked for.
func (e *WaitingError) Error() string {
	return fmt.Sprintf("waiting for authority %s: %s", e.Authority, inShort(e.What, 3, ", "))
}

// Hint says how what is asked gets there, and the answer back.
func (e *WaitingError) Hint() string {
	return "pgfleet authority requests --to DIR writes what it has to sign; pgfleet authority answer FILE… takes in what comes back; then run again"
}

// AsWaiting gives the WaitingError in an error, nil when there is none.
func AsWaiting(err error) *WaitingError {
	var w *WaitingError
	if errors.As(err, &w) {
		return w
	}
	return nil
}

// onlyWaiting tells whether an error, and every one that was joined in it, is a wait.
func onlyWaiting(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !onlyWaiting(e) })
	}
	return AsWaiting(err) != nil
}

// also joins two waits of one task: the host's next tasks can be done when they can be with both.
func (e *WaitingError) also(other *WaitingError) *WaitingError {
	switch {
	case e == nil:
		return other
	case other == nil:
		return e
	}
	what := other.What
	if e.Authority != other.Authority {
		what = []string{other.Authority + ": " + strings.Join(what, ", ")}
	}
	return &WaitingError{Authority: e.Authority, What: slices.Concat(e.What, what), Soft: e.Soft && other.Soft, keep: slices.Concat(e.keep, other.keep)}
}

// softly is e where what is in force goes on to serve.
func (e *WaitingError) softly() *WaitingError {
	return &WaitingError{Authority: e.Authority, What: e.What, Soft: true, keep: e.keep}
}

// NoteWaiting notes that a host cannot be gone on with until somebody else has acted.
func (p *Proofs) NoteWaiting(host string, why *WaitingError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[string]*WaitingError{}
	}
	p.waiting[host] = p.waiting[host].also(why)
}

// Waiting gives what a host waits for, nil when it does not.
func (p *Proofs) Waiting(host string) *WaitingError {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[host]
}

// orNil is e as an error, nil when there is none.
func orNil(e *WaitingError) error {
	if e == nil {
		return nil
	}
	return e
}
