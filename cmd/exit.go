package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/transport"
)

// The exit codes, as docs/reference.md explains them.
const (
	exitOK          = playbooks.ExitOK
	exitInternal    = playbooks.ExitInternal
	exitFailed      = playbooks.ExitFailed
	exitUnverified  = playbooks.ExitUnverified
	exitUnreachable = playbooks.ExitUnreachable
	exitUsage       = playbooks.ExitUsage
	exitLocked      = playbooks.ExitLocked
	exitPending     = playbooks.ExitPending
	exitExpiring    = playbooks.ExitExpiring
	exitInterrupted = playbooks.ExitInterrupted
)

// usageError is a mistake in what the user typed or wrote; nothing was contacted.
type usageError struct {
	text, hint string
}

func (e *usageError) Error() string { return e.text }

// Hint says what to type instead.
func (e *usageError) Hint() string { return e.hint }

// usagef makes a usageError without a hint.
func usagef(format string, args ...any) *usageError {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// exitStatus ends a command whose findings are printed already: no further text, only the code.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitCode is the one table from error to exit code.
func exitCode(err error) int {
	var (
		status   exitStatus
		usage    *usageError
		host     *hostError
		problems inventory.Problems
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), errors.As(err, &problems):
		return exitUsage
	case errors.As(err, &host):
		return exitFailed
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, playbooks.ErrLocked):
		return exitLocked
	case errors.Is(err, transport.ErrUnreachable):
		return exitUnreachable
	}
	return exitInternal
}

// report prints an error and its hint, as the last thing that a command says.
func report(w io.Writer, err error) {
	var status exitStatus
	if err == nil || errors.As(err, &status) {
		return
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "error: interrupted")
		return
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(w, "error: "+printers.Clean(line))
	}
	if hint := hintOf(err); hint != "" {
		for _, line := range strings.Split(hint, "\n") {
			fmt.Fprintln(w, "hint: "+printers.Clean(line))
		}
	}
}

// hinter is an error that knows what its reader can do.
type hinter interface{ Hint() string }

// hintOf gives the outermost hint of an error, "" when it has none.
func hintOf(err error) string {
	var h hinter
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// asConfiguration makes any error about what the user wrote one of exit code 5.
func asConfiguration(err error) error {
	var problems inventory.Problems
	if err == nil || errors.As(err, &problems) {
		return err
	}
	return &usageError{text: err.Error(), hint: hintOf(err)}
}
