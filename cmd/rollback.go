package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
)

// rollbackOptions is what pgfleet rollback was asked for.
type rollbackOptions struct {
	host  string
	run   string
	yes   bool
	fleet fleetOptions
	apply applyOptions
}

func newRollback(sys *System) *command {
	o := &rollbackOptions{}
	return &command{
		Command: &cli.Command{
			Name: "rollback", Usage: "Put a server's files back as they were before a run", ArgsUsage: "HOST",
			Description: `Each run keeps a copy of a server's files before it changes them. This puts back those of the last run that changed the server, or
of --run ID with all that came after it, and reloads PostgreSQL. The copies of the five newest runs are kept, and always those of the first:
--run first goes back to what was before pgfleet. What must not come back stays as it is and is named: an older list of revoked
certificates, an authority that was removed, a certificate that is over, revoked, or of an authority that clients
believe no more; where all of pgfleet's goes, it is refused for these. What others have changed in the files since is kept aside and named.
Without -y it shows what it would do and asks.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "run", Usage: "put back what was there before the run `ID`, or the first", Destination: &o.run},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes},
				&cli.BoolFlag{Name: "check", Aliases: []string{"C"}, Usage: "only say what would be put back", Destination: &o.apply.checkOnly},
			}, o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "HOST"); err != nil {
					return err
				}
				o.host = c.Args().First()
				return o.do(c.Context, sys)
			},
		},
		examples: `pgfleet rollback db1.example.net
			pgfleet rollback db1.example.net --run 20261122T080102Z-1f9a03bc -y
			pgfleet rollback db1.example.net --run first`,
	}
}

func (o *rollbackOptions) do(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	ask := !o.yes && !o.apply.checkOnly
	if ask && !sys.canAsk() {
		return &usageError{text: "rollback: " + errNoTerminal.Error(), hint: "-y puts the files back without asking, --check only shows what would be done"}
	}
	if o.run != "" && !playbooks.IsRunID(o.run) {
		return &usageError{text: fmt.Sprintf("--run: %q is no run's id: letters, digits, dot, dash and underscore, such as 20261122T080102Z-1f9a03bc; or first", o.run),
			hint: "pgfleet rollback HOST --check names the run that changed it last"}
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	hosts, err := choose(inv, o.host)
	if err != nil {
		return err
	}
	if len(hosts) != 1 {
		return usagef("rollback: %q means %d hosts; name one", o.host, len(hosts))
	}
	if !hosts[0].HasRole("db_server") {
		return &usageError{text: "rollback: " + hosts[0].Name + " is no db_server; copies of files are kept on servers alone", hint: "pgfleet hosts db_server lists them"}
	}
	o.apply.diff = true // which files
	task := &rollbackTask{run: o.run}
	plan := rollbackPlan(inv, hosts[0], task)
	closeDoor, err := o.apply.connect.keep(sys, hosts)
	if err != nil {
		return err
	}
	defer closeDoor()
	if ask {
		if done, err := o.foresee(ctx, sys, plan, task); done || err != nil {
			return err
		}
	}
	err = o.apply.apply(ctx, sys, plan)
	for _, line := range task.told {
		fmt.Fprintln(sys.Err, "notice: "+printers.Clean(hosts[0].Name+": "+line))
	}
	return err
}

// foresee shows on standard error what would be put back, and asks; done: there is nothing more to do.
func (o *rollbackOptions) foresee(ctx context.Context, sys *System, plan *playbooks.Plan, task *rollbackTask) (done bool, err error) {
	only := o.apply
	only.checkOnly, only.out.json, only.out.jsonLine, only.out.output = true, false, false, "text"
	aside := *sys
	aside.Out = sys.Err
	if err := only.apply(ctx, &aside, plan); err != nil {
		return true, err
	}
	if !task.wanted {
		fmt.Fprintln(sys.Err, "nothing to put back")
		return true, nil
	}
	yes, err := sys.confirm("Put these files back?")
	if err != nil {
		return true, err
	}
	if !yes {
		fmt.Fprintln(sys.Err, "nothing was done")
		return true, exitStatus(exitInterrupted)
	}
	return false, nil
}

// rollbackPlan is a run of one task on one host. Hosts with authorities are looked at for what they have revoked, and, while an authority is replaced, clients for whom they
// believe; one that cannot be reached keeps nobody from going back.
func rollbackPlan(inv *inventory.Inventory, h *inventory.Host, task *rollbackTask) *playbooks.Plan {
	look := slices.DeleteFunc(inv.Support([]*inventory.Host{h}), func(s *inventory.Host) bool { return !s.HasRole("root_ca") && !s.HasRole("intermediate_ca") })
	for _, c := range believers(inv, h) {
		if !slices.Contains(look, c) {
			look = append(look, c)
		}
	}
	return &playbooks.Plan{Playbook: "rollback " + h.Name, Hosts: []*inventory.Host{h}, Support: look, Believers: true, BestEffort: true, Inventory: inv, Plays: []playbooks.PlannedPlay{{
		Name: "Rollback", Batches: [][]string{{h.Name}}, Tasks: map[string][]playbooks.PlannedTask{h.Name: {{Kind: "rollback", Task: task}}},
	}}}
}

// believers are some clients of a server, the first that stop to believe an authority that is replaced; none while no authority is.
func believers(inv *inventory.Inventory, h *inventory.Host) (out []*inventory.Host) {
	const enough = 10
	if old, err := replaced(inv); err != nil || len(old) == 0 {
		return nil
	}
	for _, c := range inv.Hosts {
		if len(out) < enough && c != h && c.HasRole("client") && slices.Contains(c.ConnectsTo, h.Name) {
			out = append(out, c)
		}
	}
	return out
}
