package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// A passphrase is asked for once a run, and twice over for a key that is going to be made; it is not shown.
func TestTypedPassphrases(t *testing.T) {
	for _, c := range []struct {
		name    string
		made    bool
		answers []string
		asked   []string
		fails   string
	}{
		{"a key that is there", true, []string{"open"}, []string{"passphrase of authority clients (its key on ca1): "}, ""},
		{"a new key", false, []string{"open", "open"}, []string{"new passphrase for authority clients (its key on ca1): ", "the same again: "}, ""},
		{"typed wrongly", false, []string{"open", "opne"}, []string{"new passphrase for authority clients (its key on ca1): ", "the same again: "}, "differ"},
	} {
		var asked []string
		p := &passphrases{known: map[string]passphrase{}, ask: func(question string) ([]byte, error) {
			asked = append(asked, question)
			return []byte(c.answers[len(asked)-1]), nil
		}}
		a := pki.Authority{Name: "clients", Host: "ca1", Passphrase: map[string]any{"prompt": true}}
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				text, err := p.of(context.Background(), a, c.made)
				if c.fails == "" && (err != nil || string(text) != "open") || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
					t.Errorf("%s: %q, %v", c.name, text, err)
				}
			})
		}
		wait.Wait()
		if !slices.Equal(asked, c.asked) {
			t.Errorf("%s: asked %q", c.name, asked)
		}
	}
}

// Without a terminal nobody is asked; a reference is followed once.
func TestPassphraseReferences(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	var out bytes.Buffer
	sys := &System{Err: &out, Getenv: func(string) string { return "" }, Size: func(any) (int, int, bool) { return 0, 0, false }}
	words, err := newPasswords(sys, false)
	if err != nil {
		t.Fatal(err)
	}
	p := newPassphrases(words, func(question string) ([]byte, error) { return askBeside(sys, nil, question) })
	if _, err := p.of(context.Background(), pki.Authority{Name: "typed", Passphrase: map[string]any{"prompt": true}}, true); err == nil || !strings.Contains(err.Error(), errNoTerminal.Error()) {
		t.Errorf("without a terminal: %v", err)
	}
	a := pki.Authority{Name: "clients", Passphrase: map[string]any{"command": []any{"sh", "-c", `echo call >>"$0"; echo open`, calls}}}
	for range 2 {
		if text, err := p.of(context.Background(), a, true); err != nil || string(text) != "open" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if log, _ := os.ReadFile(calls); string(log) != "call\n" || out.Len() > 0 {
		t.Errorf("the command ran %q and printed %q", log, out.String())
	}
}
