package cmd

import (
	"context"
	"fmt"
	"sync"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// askTask asks the authorities of one host for something. It changes nothing.
type askTask struct {
	authorities []pki.Authority
	step        func(pki.Authority) transport.Step
	read        func(pki.Authority, *tasks.Host) error
}

// Needs gives one probe an authority.
func (t *askTask) Needs(*tasks.Host) []transport.Step {
	var out []transport.Step
	for _, a := range t.authorities {
		out = append(out, t.step(a))
	}
	return out
}

// Check reads the answers.
func (t *askTask) Check(_ context.Context, h *tasks.Host) (*tasks.Change, error) {
	var failed error
	for _, a := range t.authorities {
		err := t.read(a, h)
		switch {
		case err == nil:
		case failed == nil:
			failed = fmt.Errorf("authority %s: %w", a.Name, err)
		default:
			failed = fmt.Errorf("%w; authority %s: %w", failed, a.Name, err)
		}
	}
	return nil, failed
}

// askingPlan asks authorities for something, each on its host. found has the answers once the plan was run.
func askingPlan[T any](inv *inventory.Inventory, authorities []pki.Authority, kind string, step func(pki.Authority) transport.Step,
	read func(pki.Authority, *tasks.Host) (T, error)) (plan *playbooks.Plan, found map[string]T) {
	found = map[string]T{}
	plan = &playbooks.Plan{Playbook: kind, Inventory: inv, BestEffort: true}
	play := playbooks.PlannedPlay{Name: kind, Batches: [][]string{nil}, Tasks: map[string][]playbooks.PlannedTask{}}
	var mu sync.Mutex
	for _, h := range inv.Hosts {
		t := &askTask{step: step, read: func(a pki.Authority, h *tasks.Host) error {
			answer, err := read(a, h)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[a.Name] = answer
			return nil
		}}
		for _, a := range authorities {
			if a.Host == h.Name {
				t.authorities = append(t.authorities, a)
			}
		}
		if len(t.authorities) > 0 {
			plan.Hosts = append(plan.Hosts, h)
			play.Batches[0] = append(play.Batches[0], h.Name)
			play.Tasks[h.Name] = []playbooks.PlannedTask{{Kind: kind, Task: t}}
		}
	}
	plan.Plays = []playbooks.PlannedPlay{play}
	return plan, found
}
