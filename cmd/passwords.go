package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"github.com/pgfleet/pgfleet/inventory"
)

// passwords gives sudo's password for a host: the one that was typed in (-K) for all of them, else what the inventory refers to. A reference is
// followed when the first host asks for it, and once.
type passwords struct {
	typed  []byte
	getenv func(string) string
	// warn gets what a command prints on standard error.
	warn interface{ Write([]byte) (int, error) }

	mu    sync.Mutex
	known map[string]*answer
}

type answer struct {
	once  sync.Once
	value []byte
	err   error
}

// newPasswords asks for the password when -K was given and a host needs one. Without a terminal that is a mistake of usage.
func newPasswords(sys *System, askFor bool, lists ...[]*inventory.Host) (*passwords, error) {
	p := &passwords{getenv: sys.Getenv, warn: sys.Err, known: map[string]*answer{}}
	become := false
	for _, list := range lists {
		for _, h := range list {
			become = become || h.Target.Become
		}
	}
	if !askFor || !become {
		return p, nil
	}
	if !sys.canAsk() {
		return nil, &usageError{text: "--ask-become-pass: " + errNoTerminal.Error(), hint: "sudo_password: {env: NAME}, {file: PATH} or {command: [WORD, …]} in the inventory needs none"}
	}
	typed, err := sys.secret("sudo password: ")
	if err != nil {
		return nil, fmt.Errorf("--ask-become-pass: %w", err)
	}
	p.typed = typed
	return p, nil
}

// of gives the password for a host; nil: there is none, sudo has to do without.
func (p *passwords) of(ctx context.Context, h *inventory.Host) ([]byte, error) {
	if p.typed != nil {
		return p.typed, nil
	}
	if h.SudoPassword == nil {
		return nil, nil
	}
	p.mu.Lock()
	key := fmt.Sprint(h.SudoPassword)
	a := p.known[key]
	if a == nil {
		a = &answer{}
		p.known[key] = a
	}
	p.mu.Unlock()
	a.once.Do(func() { a.value, a.err = p.follow(ctx, h.SudoPassword, ", or type the password in: -K") })
	if a.err != nil {
		return nil, fmt.Errorf("sudo password of %s: %w", h.Name, a.err)
	}
	return a.value, nil
}

// follow resolves {env: NAME}, {file: PATH} or {command: [WORD, …]}. A newline at the end does not belong to the password. instead is what else can be done
// where a variable is not set.
func (p *passwords) follow(ctx context.Context, ref map[string]any, instead string) ([]byte, error) {
	var value []byte
	switch {
	case ref["env"] != nil:
		name := fmt.Sprint(ref["env"])
		if value = []byte(p.getenv(name)); len(value) == 0 {
			return nil, &usageError{text: "environment variable " + name + " is not set", hint: "export " + name + instead}
		}
	case ref["file"] != nil:
		data, err := os.ReadFile(fmt.Sprint(ref["file"]))
		if err != nil {
			return nil, &usageError{text: err.Error()}
		}
		value = data
	case ref["command"] != nil:
		list, _ := ref["command"].([]any)
		words := make([]string, len(list))
		for i, w := range list {
			words[i] = fmt.Sprint(w)
		}
		if len(words) == 0 {
			return nil, usagef("the command has no words")
		}
		c := exec.CommandContext(ctx, words[0], words[1:]...)
		c.Stderr = p.warn
		out, err := c.Output()
		if err != nil {
			return nil, &usageError{text: fmt.Sprintf("run %s: %v", words[0], err)}
		}
		value = out
	default:
		return nil, usagef("the reference is none of env, file, command")
	}
	value = bytes.TrimRight(value, "\r\n")
	if len(value) == 0 {
		return nil, usagef("it is empty")
	}
	return value, nil
}
