package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/playbooks"
)

// planOptions is what pgfleet plan was asked for.
type planOptions struct {
	playbook string
	choice   planChoice
	fleet    fleetOptions
	out      outputOptions
}

func newPlan(sys *System) *command {
	o := &planOptions{}
	return &command{
		Command: &cli.Command{
			Name: "plan", Usage: "Print what a playbook would run, and on which hosts", ArgsUsage: "PLAYBOOK",
			Description: `Plays, batches, hosts and tasks with their values, in the order of the run. No host is contacted, so nothing is known of what
would change: run --check --diff tells that. Hosts that others depend on (their authorities) are listed as support.`,
			Flags: join(o.choice.flags(), o.fleet.flags(), o.out.flags("text", "json")),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "PLAYBOOK"); err != nil {
					return err
				}
				o.playbook = c.Args().First()
				o.choice.take(c)
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet plan playbooks/mtls.yaml
			pgfleet plan playbooks/mtls.yaml -l app1.example.net -o json`,
	}
}

func (o *planOptions) run(_ context.Context, sys *System) error {
	if err := o.out.check(); err != nil {
		return err
	}
	plan, err := makePlan(&o.fleet, &o.choice, o.playbook, func(*playbooks.Playbook) {})
	if err != nil {
		return err
	}
	warn(sys, plan.Inventory)
	for _, n := range slices.Concat(plan.Notes, plan.Warnings) {
		fmt.Fprintln(sys.Err, "notice: "+printers.Clean(n))
	}
	if o.out.json {
		return printers.WriteJSON(sys.Out, printers.PlanDocument(plan))
	}
	printers.Plan(sys.Out, o.out.style(sys, sys.Out), plan, o.out.verbose)
	return nil
}
