package cmd

import (
	"context"
	"slices"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// records asks the authorities of the inventory, or the one that was named, what they have issued. missing, if not nil, ends the command where one that has not
// answered matters; why it has not was told.
func (o *revokeOptions) records(ctx context.Context, sys *System, inv *inventory.Inventory) (found []authorityRecords, missing, err error) {
	var asked []pki.Authority
	for _, name := range sortedNames(inv.Authorities) {
		if a := inv.Authorities[name]; a.Ours() && (o.choice.authority == "" || o.choice.authority == name) {
			asked = append(asked, a)
		}
	}
	if found, err = o.elsewhere(inv); err != nil {
		return nil, nil, err
	}
	if len(asked) == 0 {
		if len(found) == 0 {
			err = &usageError{text: "revoke: the inventory has no authority that pgfleet can have revoke", hint: "certificates of others are revoked by their owner; pgfleet run crl brings the new list to servers and clients"}
		}
		return found, nil, err
	}
	plan, answers := askingPlan(inv, asked, "records", tasks.IssuedProbe, func(a pki.Authority, h *tasks.Host) (records authorityRecords, err error) {
		r, err := h.View.Get(tasks.KeyIssued(a.Name))
		if err == nil {
			records.name, records.held = a.Name, true
			records.issued, records.cert, err = tasks.IssuedBy(a.Name, r)
		}
		return records, err
	})
	if missing, err = o.apply.connect.look(ctx, sys, plan, "its records could not be read"); err != nil {
		return nil, nil, err
	}
	for _, a := range asked {
		if records, ok := answers[a.Name]; ok {
			found = append(found, records)
		}
	}
	return found, missing, nil
}

// look runs a plan that only looks, and says nothing but why a host has failed; missing is then the exit code. failed is what that means.
func (o *connectOptions) look(ctx context.Context, sys *System, plan *playbooks.Plan, failed string) (missing, err error) {
	dial, err := o.dialer(sys, nil, plan.Hosts)
	if err != nil {
		return nil, err
	}
	defer dial.close()
	ctx, signals, release := watchInterrupts(ctx, sayTo(sys.Err), func() {})
	defer release()
	outcome, err := playbooks.Run(ctx, plan, playbooks.RunOptions{Dial: dial.dial, Forks: o.forks, Check: true, Owner: owner(), Now: sys.Now, Stop: signals.stop,
		Sink: func(e events.Event) {
			if e.Type == events.Host && e.Kind != events.OK {
				report(sys.Err, &hostError{text: e.Host + ": " + failed + ": " + e.Reason, hint: e.Hint})
			}
		}})
	switch {
	case err != nil:
		return nil, err
	case outcome.Exit == exitInterrupted:
		return nil, exitStatus(exitInterrupted)
	case outcome.Exit != exitOK:
		return exitStatus(outcome.Exit), nil
	}
	return nil, nil
}

// hostError is why a host could not be asked, or what is wrong with it; exit code 2.
type hostError struct{ text, hint string }

func (e *hostError) Error() string { return e.text }

// Hint says what to do about it.
func (e *hostError) Hint() string { return e.hint }

func sortedNames(authorities map[string]pki.Authority) []string {
	var out []string
	for name := range authorities {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
