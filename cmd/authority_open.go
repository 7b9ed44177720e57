package cmd

import (
	"context"
	"errors"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// openKeys tries the passphrases and PINs, and says of which authorities the key was not opened or is another's.
func (o *checkOptions) openKeys(ctx context.Context, sys *System, inv *inventory.Inventory, authorities []pki.Authority) (map[string]string, error) {
	words, err := newPasswords(sys, false)
	if err != nil {
		return nil, err
	}
	secret := tasks.KeySecret(newPassphrases(words, func(question string) ([]byte, error) { return askBeside(sys, nil, question) }).of)
	steps, problems := map[string]transport.Step{}, map[string]string{}
	var tried []pki.Authority
	for _, a := range authorities {
		if a.Passphrase == nil {
			continue
		}
		steps[a.Name], err = secret.OpenProbe(ctx, a)
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		if err != nil {
			problems[a.Name] = err.Error()
			continue
		}
		tried = append(tried, a)
	}
	plan, found := askingPlan(inv, tried, "open", func(a pki.Authority) transport.Step { return steps[a.Name] }, func(a pki.Authority, h *tasks.Host) (string, error) {
		r, err := h.View.Get(tasks.KeyAuthority(a.Name))
		if err != nil {
			return "", err
		}
		state, err := tasks.ParseAuthority(r)
		switch {
		case err != nil:
			return err.Error(), nil
		case state.PublicKey != nil && state.Certificate != nil && !pki.SameKey(state.PublicKey, state.Certificate.PublicKey):
			return "its key does not belong to its certificate", nil
		}
		return "", nil
	})
	if len(tried) == 0 {
		return problems, nil
	}
	// A host that is not reached is told by the look at all of them.
	if _, err = o.connect.look(ctx, sys, plan, "its keys could not be opened"); err != nil {
		return nil, err
	}
	for name, why := range found {
		if why != "" {
			problems[name] = why
		}
	}
	return problems, nil
}
