package tasks

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed command_probe.sh
var commandProbeProgram string

var _ = register(Kind{
	Name:    "command",
	Summary: "run a command on the host, once, or until something says that it is done",
	Doc: `argv is a list of words; no shell sees them. For a shell: argv: [sh, -c, "…"]. With creates it runs only while that path is missing, with unless only while that
command (words as well, it must change nothing) does not end with 0; with neither it runs in every run. It runs as root, or as user.`,
	Example: "command: {argv: [systemctl, enable, --now, postgresql], unless: [systemctl, is-active, --quiet, postgresql]}",
	New:     func() Task { return new(commandTask) },
})

// commandTask is one command task as written.
type commandTask struct {
	Argv    []string      `param:"argv,required" doc:"the command and its arguments, a list of words"`
	Creates string        `param:"creates" doc:"absolute path that the command makes: it does not run when that exists"`
	Unless  []string      `param:"unless" doc:"a command, as words, that changes nothing: when it ends with 0 there is nothing to do"`
	User    string        `param:"user" doc:"OS user who runs it; not given: root"`
	Limit   time.Duration `param:"limit" default:"60s" doc:"it is ended after that time"`

	mu  sync.Mutex
	ran map[string]bool
}

// Validate refuses an empty command and relative paths.
func (t *commandTask) Validate() []*ParamError {
	var errs []*ParamError
	if len(t.Argv) == 0 || t.Argv[0] == "" {
		errs = append(errs, &ParamError{"argv", "names no command"})
	}
	if t.Creates != "" && !path.IsAbs(t.Creates) {
		errs = append(errs, &ParamError{"creates", fmt.Sprintf("%q is not absolute", t.Creates)})
	}
	if t.Limit <= 0 {
		errs = append(errs, &ParamError{"limit", "wants a time longer than 0"})
	}
	return errs
}

func (t *commandTask) key() string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{t.User, t.Creates}, t.Unless...), "\x00")))
	return "command:" + hex.EncodeToString(sum[:8])
}

// Needs asks creates and unless.
func (t *commandTask) Needs(*Host) []transport.Step {
	if t.Creates == "" && len(t.Unless) == 0 {
		return nil
	}
	return []transport.Step{{Key: t.key(), User: t.User, Probe: true, Limit: t.Limit, Shell: commandProbeProgram, Argv: append([]string{t.Creates}, t.Unless...)}}
}

// Check tells whether the command has to run.
func (t *commandTask) Check(_ context.Context, h *Host) (*Change, error) {
	if t.Creates == "" && len(t.Unless) == 0 {
		if t.hasRun(h) {
			return nil, nil
		}
		return t.change(h, "neither creates nor unless is given"), nil
	}
	result, err := h.View.Get(t.key())
	if err != nil {
		return nil, err
	}
	if result.Err != nil {
		return nil, fmt.Errorf("ask whether %s has to run on %s: %w", t.Argv[0], h.Name, result.Err)
	}
	answer, rest, _ := strings.Cut(strings.TrimSpace(string(result.Stdout)), " ")
	switch answer {
	case "created":
		return nil, nil
	case "missing":
		return t.change(h, t.Creates+" is missing"), nil
	case "unless":
		code, err := strconv.Atoi(rest)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask whether %s has to run on %s: unless answered %q", t.Argv[0], h.Name, rest)
		case code == 0:
			return nil, nil
		case code == 126 || code == 127:
			return nil, fmt.Errorf("%w: unless: %s cannot be run on %s (code %d)", ErrRefused, t.Unless[0], h.Name, code)
		}
		return t.change(h, fmt.Sprintf("%s ended with %d", strings.Join(t.Unless, " "), code)), nil
	}
	return nil, fmt.Errorf("ask whether %s has to run on %s: the answer %q is not known", t.Argv[0], h.Name, answer)
}

func (t *commandTask) hasRun(h *Host) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ran[h.Name]
}

func (t *commandTask) change(h *Host, why string) *Change {
	c := &Change{Summary: "run " + strings.Join(t.Argv, " "), Diff: why + "\n"}
	if t.Creates != "" || len(t.Unless) > 0 {
		c.Touches = []string{t.key()}
	}
	c.Apply = func(context.Context, Doer) ([]transport.Step, error) {
		return []transport.Step{{Key: "command " + t.Argv[0], User: t.User, Limit: t.Limit, Argv: t.Argv}}, nil
	}
	c.Then = func(results []transport.Result) error {
		for _, r := range results {
			if r.Err != nil {
				return fmt.Errorf("%s on %s: %w", strings.Join(t.Argv, " "), h.Name, r.Err)
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.ran == nil {
			t.ran = map[string]bool{}
		}
		t.ran[h.Name] = true
		return nil
	}
	return c
}
