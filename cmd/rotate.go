package cmd

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
)

// rotateOptions is what pgfleet rotate was asked for.
type rotateOptions struct {
	force, newKey bool
	choice        planChoice
	fleet         fleetOptions
	apply         applyOptions
}

func newRotate(sys *System) *command {
	o := &rotateOptions{}
	o.apply.quiet = true
	return &command{
		Command: &cli.Command{
			Name: "rotate", Usage: "Renew the certificates that are due",
			Description: `Due is a certificate when two thirds of its life are over, when its names, issuer or key have changed, or when it was revoked. Nothing
else is touched. One server and one client come first, then a quarter of them at a time; each server proves that it serves
the new certificate, and gets the one of before back when it does not; then the run stops. A client's new certificate is
put in force once its servers have accepted it. Keys stay, unless --new-key makes new ones.

Lists of revoked certificates are not renewed: one that has ended or ends soon is told, with what helps, and makes exit
code 8.

Made for cron and systemd timers: one line a change on standard output, nothing when nothing is due, errors on standard
error. -v prints what pgfleet run prints. It runs the playbook rotate, whose variables -e sets: serial, client_serial,
valid_for, verify, server_authority, client_authority.`,
			Flags: join([]cli.Flag{
				&cli.BoolFlag{Name: "force", Usage: "renew what -l chooses now, due or not", Destination: &o.force},
				&cli.BoolFlag{Name: "new-key", Usage: "make a new key for each certificate that is renewed; an authority keeps its key", Destination: &o.newKey},
			}, o.choice.flags(), o.apply.changeFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c); err != nil {
					return err
				}
				o.choice.take(c)
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet rotate
			pgfleet rotate --check --diff
			pgfleet rotate --check --detailed-exitcode
			pgfleet rotate --force -l 'db1.example.net,app*' --new-key
			pgfleet rotate -e 'serial:=[1,2,"10%"]' -e valid_for=90d`,
	}
}

func (o *rotateOptions) run(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	if o.force && o.choice.limit == "" {
		return &usageError{text: "rotate: --force renews what -l chooses, and nothing is chosen", hint: "-l PATTERN chooses; -l all means every server, client and intermediate authority"}
	}
	if o.force {
		o.choice.vars = append(o.choice.vars, "force=yes")
	}
	if o.newKey {
		o.choice.vars = append(o.choice.vars, "new_key=yes")
	}
	opt, err := o.choice.options()
	if err != nil {
		return err
	}
	inv, err := o.fleet.load(opt.Vars)
	if err != nil {
		return err
	}
	if err := o.holders(inv); err != nil {
		return err
	}
	pb, err := playbooks.LoadShipped("rotate")
	if err != nil {
		return err
	}
	plan, err := playbooks.NewPlan(pb, inv, opt)
	if err != nil {
		return asConfiguration(err)
	}
	return o.apply.apply(ctx, sys, plan)
}

// holders refuses a limit that leaves nobody who has a certificate to be renewed.
func (o *rotateOptions) holders(inv *inventory.Inventory) error {
	hosts, err := choose(inv, o.choice.limit)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(hosts, func(h *inventory.Host) bool {
		return h.HasRole("db_server") || h.HasRole("client") || h.HasRole("intermediate_ca")
	}) {
		return nil
	}
	return &usageError{text: "rotate: no server, client or intermediate authority is chosen, and those are whose certificates are renewed",
		hint: "a root is not renewed: those who believe it have to learn a new one first"}
}
