package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
)

// runOptions is what pgfleet run was asked for.
type runOptions struct {
	playbook string
	verify   string
	choice   planChoice
	fleet    fleetOptions
	apply    applyOptions
}

// planChoice says which part of a playbook and which hosts.
type planChoice struct {
	limit       string
	tags        []string
	vars        []string
	maxFailures *int
}

func (p *planChoice) flags() []cli.Flag {
	return []cli.Flag{
		limitFlag(&p.limit),
		&cli.StringSliceFlag{Name: "tags", Aliases: []string{"t"}, Usage: "only plays and tasks with one of these `TAGS`"},
		&cli.StringSliceFlag{Name: "extra-vars", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE` or NAME:=JSON; wins over all others"},
		maxFailuresFlag("the playbook's, else 0"),
	}
}

func maxFailuresFlag(otherwise string) cli.Flag {
	return &cli.IntFlag{Name: "max-failures", Usage: "go on until more than `N` hosts failed, were not reached or not proved (default: " + otherwise + ")"}
}

// maxFailures is that flag's value, nil where it is not given.
func maxFailures(c *cli.Context) *int {
	if !c.IsSet("max-failures") {
		return nil
	}
	n := c.Int("max-failures")
	return &n
}

// take reads what urfave/cli keeps for itself.
func (p *planChoice) take(c *cli.Context) {
	p.tags = c.StringSlice("tags")
	p.vars = c.StringSlice("extra-vars")
	p.maxFailures = maxFailures(c)
}

// options gives the form for package playbooks.
func (p *planChoice) options() (playbooks.PlanOptions, error) {
	vars, err := assignments("variable", p.vars)
	if err != nil {
		return playbooks.PlanOptions{}, err
	}
	tags := commas(p.tags)
	if len(p.tags) > 0 && len(tags) == 0 {
		return playbooks.PlanOptions{}, usagef("--tags: %q names no tag", p.tags[0])
	}
	return playbooks.PlanOptions{Limit: p.limit, Tags: tags, Vars: vars, MaxFailures: p.maxFailures}, nil
}

func newRun(sys *System) *command {
	o := &runOptions{}
	return &command{
		Command: &cli.Command{
			Name: "run", Usage: "Bring hosts to the state that a playbook describes", ArgsUsage: "PLAYBOOK",
			Description: `Hosts are looked at first, then only what differs is changed, proved and verified. A second run changes nothing.
PLAYBOOK is a file, or the name of one that is part of the program: mtls, crl. Your copy of such a one, playbooks/mtls.yaml beside the inventory, wins.
It asks nothing. --check --diff shows what would be done and does none of it. Standard output gets results, diffs, the
recap and the verification table; standard error gets live progress, notices and errors.
Ctrl-C lets the steps under way finish; a second Ctrl-C stops now. Either way the next run goes on from there.`,
			Flags: join(o.choice.flags(), o.apply.runFlags(), []cli.Flag{
				&cli.StringFlag{Name: "verify", Usage: "how much is tested at the end, a `LEVEL`: none, quick, full (default: as the playbook says)", Destination: &o.verify},
			}, o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "PLAYBOOK"); err != nil {
					return err
				}
				o.playbook = c.Args().First()
				o.choice.take(c)
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet run --check --diff playbooks/mtls.yaml
			pgfleet run playbooks/mtls.yaml
			pgfleet run playbooks/mtls.yaml -l 'db_server:!db3.example.net' -e enforce=permissive
			pgfleet run playbooks/mtls.yaml --check --detailed-exitcode -o json`,
	}
}

// run reads what the user wrote, plans, and applies the plan.
func (o *runOptions) run(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	if err := checkLevel(o.verify); err != nil {
		return err
	}
	plan, err := makePlan(&o.fleet, &o.choice, o.playbook, func(pb *playbooks.Playbook) { setLevel(pb, o.verify) })
	if err != nil {
		return err
	}
	outcome, err := o.apply.outcome(ctx, sys, plan)
	if outcome != nil && outcome.Exit == exitUnverified {
		if left := leftServers(plan); len(left) > 0 {
			fmt.Fprintf(sys.Err, "hint: -l has left out %s, whose rules and roles are as they were: run again without -l\n", printers.Clean(strings.Join(left, ", ")))
		}
	}
	return err
}

// leftServers gives the servers that a plan's clients use, and that -l has left out: nothing of what clients need is put in place there.
func leftServers(plan *playbooks.Plan) []string {
	var left []string
	for _, h := range plan.Support {
		if h.HasRole("db_server") {
			left = append(left, h.Name)
		}
	}
	return left
}

// makePlan reads inventory and playbook and gives the plan. Mistakes of both are the user's: exit 5, nothing contacted.
func makePlan(fleet *fleetOptions, choice *planChoice, path string, change func(*playbooks.Playbook)) (*playbooks.Plan, error) {
	opt, err := choice.options()
	if err != nil {
		return nil, err
	}
	inv, err := fleet.load(opt.Vars)
	if err != nil {
		return nil, err
	}
	file, err := inventory.Find(fleet.inventory)
	if err != nil {
		return nil, asConfiguration(err)
	}
	pb, err := playbooks.Load(ownPlaybook(path, filepath.Dir(file)))
	if err != nil {
		return nil, asConfiguration(err)
	}
	change(pb)
	plan, err := playbooks.NewPlan(pb, inv, opt)
	return plan, asConfiguration(err)
}

// ownPlaybook gives the user's own copy of a playbook that is part of the program and named without a folder ("mtls"): playbooks/NAME.yaml beside the inventory,
// where pgfleet init puts it. What the user has written there, how far to enforce and for whom there are exceptions, must not be lost by how the playbook is named: hints
// say "pgfleet run mtls".
func ownPlaybook(name, dir string) string {
	if _, shipped := playbooks.ShippedSource(name); !shipped || filepath.Base(name) != name {
		return name
	}
	if _, err := os.Lstat(name); err == nil {
		return name
	}
	own := filepath.Join(dir, "playbooks", strings.TrimSuffix(name, ".yaml")+".yaml")
	if _, err := os.Lstat(own); errors.Is(err, fs.ErrNotExist) {
		return name
	}
	return own
}

// checkLevel refuses an unknown value of --verify.
func checkLevel(level string) error {
	switch level {
	case "", "none", "quick", "full":
		return nil
	}
	return usagef("--verify %s: is not one of none, quick, full", level)
}

// setLevel has a playbook's verify tasks test at another level, or not at all. Those that only test what a later play builds on (only:
// verify-full) stay as they are: without them nothing would be enforced.
func setLevel(pb *playbooks.Playbook, level string) {
	if level == "" {
		return
	}
	for i := range pb.Plays {
		for j := range pb.Plays[i].Tasks {
			task := &pb.Plays[i].Tasks[j]
			if task.Kind != "verify" || task.Values["only"] == "verify-full" {
				continue
			}
			task.Values = maps.Clone(task.Values)
			if task.Values == nil {
				task.Values = map[string]any{}
			}
			task.Values["level"] = level
		}
	}
}
