package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// passphrases gives those of authorities' keys: what the inventory refers to, followed when a key is first used, once a run.
type passphrases struct {
	words *passwords
	// ask shows a question and reads an answer that is not shown.
	ask func(question string) ([]byte, error)

	// mu also keeps one question from standing between another and its answer.
	mu    sync.Mutex
	known map[string]passphrase
}

type passphrase struct {
	text []byte
	err  error
}

func newPassphrases(words *passwords, ask func(question string) ([]byte, error)) *passphrases {
	return &passphrases{words: words, known: map[string]passphrase{}, ask: ask}
}

// of is a tasks.KeySecret.
func (p *passphrases) of(ctx context.Context, a pki.Authority, made bool) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.known[a.Name]
	if !ok {
		if a.Passphrase["prompt"] != nil {
			known.text, known.err = p.typed(a, made)
		} else {
			known.text, known.err = p.words.follow(ctx, a.Passphrase, "")
		}
		p.known[a.Name] = known
	}
	return known.text, known.err
}

// typed asks; for a key that is going to be made, twice.
func (p *passphrases) typed(a pki.Authority, made bool) ([]byte, error) {
	question := fmt.Sprintf("%s (its key on %s): ", a.SecretName(), a.Host)
	if !made {
		question = fmt.Sprintf("new passphrase for authority %s (its key on %s): ", a.Name, a.Host)
	}
	text, err := p.ask(question)
	if errors.Is(err, errNoTerminal) {
		return nil, fmt.Errorf("%w, and the inventory says prompt", err)
	}
	if err != nil {
		return nil, err
	}
	if made {
		return text, nil
	}
	again, err := p.ask("the same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, again) {
		return nil, usagef("the two that were typed in differ; nothing was made")
	}
	return text, nil
}
