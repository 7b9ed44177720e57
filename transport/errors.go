package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// How a host fails. Classes are found with errors.Is; the text around them says the rest.
var (
	// ErrUnreachable: no connection, or it was lost. Whether a step in flight ran is unknown.
	ErrUnreachable = errors.New("host unreachable")
	// ErrHostKey: the host's key is unknown, changed or revoked. Never retried. It is an ErrUnreachable too.
	ErrHostKey error = unreachable("host key not accepted")
	// ErrAuth: the host refused the login. Never retried. It is an ErrUnreachable too.
	ErrAuth error = unreachable("login refused")
	// ErrBecome: sudo (or its kin) refused. It is an ErrUnreachable too: nothing was done on the host.
	ErrBecome error = unreachable("cannot become root")
	// ErrForwarding: the host does not let connections pass through it (AllowTcpForwarding no).
	ErrForwarding = errors.New("host forbids forwarding")
	// ErrLimit: a step was ended because its time was over.
	ErrLimit = errors.New("time limit reached")
	// ErrNotExist: the host itself said that the file is not there.
	ErrNotExist = fs.ErrNotExist
)

// unreachable is a special case of ErrUnreachable with a text of its own.
type unreachable string

func (u unreachable) Error() string { return string(u) }

// Is tells errors.Is that this is an ErrUnreachable too.
func (unreachable) Is(target error) bool { return target == ErrUnreachable }

// ExitError is a command that ended with a code other than 0.
type ExitError struct {
	// Code is the exit code. Stderr is what it printed there, whole.
	Code   int
	Stderr []byte
}

// Error gives the code and the last line of what the command printed on standard error. Where that is what a program could not do, the line before it is the
// system's reason: a file system that is read-only, a file that is immutable.
func (e *ExitError) Error() string {
	text := strings.TrimSpace(string(e.Stderr))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		before := strings.TrimSpace(text[:i])
		text = text[i+1:]
		if strings.HasPrefix(text, "cannot ") && !strings.Contains(text, ": ") {
			text += ": " + before[strings.LastIndexByte(before, '\n')+1:]
		}
	}
	if text == "" {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return fmt.Sprintf("exit code %d: %s", e.Code, text)
}

// Failed gives the first failure among results that is not a probe's, as the error of that step, or nil.
// steps are those that were given to Do; a list that ended early counts as failed.
func Failed(steps []Step, results []Result) error {
	for i, r := range results {
		if r.Err != nil && !steps[i].Probe {
			return fmt.Errorf("%s: %w", steps[i].Name(), r.Err)
		}
	}
	if len(results) < len(steps) {
		return fmt.Errorf("%s: not run", steps[len(results)].Name())
	}
	return nil
}

// Name is a short text for messages: the key, else the command's first word or the path. Never an argument.
func (s Step) Name() string {
	switch {
	case s.Key != "":
		return s.Key
	case s.Read != "":
		return "read " + s.Read
	case s.Write != nil:
		return "write " + s.Write.Path
	case s.Shell == "" && len(s.Argv) > 0:
		return s.Argv[0]
	}
	return "shell program"
}
