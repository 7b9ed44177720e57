package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
)

// verifyOptions is what pgfleet verify was asked for.
type verifyOptions struct {
	limit   string
	enforce string
	quick   bool
	fleet   fleetOptions
	apply   applyOptions
}

func newVerify(sys *System) *command {
	o := &verifyOptions{}
	return &command{
		Command: &cli.Command{
			Name: "verify", Usage: "Test every connection that must work, and every one that must be refused",
			Description: `From each client, with the files and the psql of its applications, to each server that it uses: good logins, and each refusal for
the right reason. Nothing is changed. Exit 3 when anything differs.`,
			Flags: join([]cli.Flag{
				limitFlag(&o.limit),
				&cli.StringFlag{Name: "enforce", Usage: "the `STAGE` that servers must be at: permissive, password, verify-ca, verify-full, cert; without it, the one that each is at", Destination: &o.enforce},
				&cli.BoolFlag{Name: "quick", Usage: "one good login for each client and server, each refusal once a server", Destination: &o.quick},
			}, o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c); err != nil {
					return err
				}
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet verify
			pgfleet verify --enforce cert
			pgfleet verify -l app1.example.net --quick
			pgfleet verify -o json`,
	}
}

func (o *verifyOptions) run(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	if err := o.clients(inv); err != nil {
		return err
	}
	level := "full"
	if o.quick {
		level = "quick"
	}
	params := map[string]any{"level": level}
	if o.enforce != "" {
		params["enforce"] = o.enforce
	}
	plan, err := playbooks.AdHoc(inv, "verify", params, "client", playbooks.PlanOptions{Limit: o.limit})
	if err != nil {
		return asConfiguration(err)
	}
	return o.apply.apply(ctx, sys, plan)
}

// clients refuses a limit that leaves no client.
func (o *verifyOptions) clients(inv *inventory.Inventory) error {
	hosts, err := choose(inv, o.limit)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(hosts, func(h *inventory.Host) bool { return h.HasRole("client") }) {
		return nil
	}
	if o.limit == "" {
		return &usageError{text: "verify: the inventory has no host with the role client, and clients are who makes the test connections"}
	}
	return &usageError{text: fmt.Sprintf("verify: %q means no client, and clients are who makes the test connections", o.limit),
		hint: "-l chooses clients; each of them tests every server that it uses"}
}
