package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
)

// taskOptions is what pgfleet task was asked for.
type taskOptions struct {
	list   bool
	kind   string
	values []string
	limit  string
	vars   []string
	// maxFailures: nil is 0.
	maxFailures *int
	fleet       fleetOptions
	apply       applyOptions
}

func newTask(sys *System) *command {
	o := &taskOptions{}
	return &command{
		Command: &cli.Command{
			Name: "task", Usage: "Do one kind of task to some hosts", ArgsUsage: "KIND [name=value …]",
			Description: `Any kind that a playbook can name, with the same check, diff and output. A value is name=text, or name:=JSON for lists and maps.
--list shows the kinds, pgfleet task KIND --help the parameters of one. Without -l nothing is done: -l all means all hosts.`,
			Flags: join([]cli.Flag{
				&cli.BoolFlag{Name: "list", Usage: "list the kinds of task", Destination: &o.list},
				limitFlag(&o.limit),
				&cli.StringSliceFlag{Name: "extra-vars", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE` or NAME:=JSON"},
				maxFailuresFlag("0"),
			}, o.apply.runFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				o.vars, o.maxFailures = c.StringSlice("extra-vars"), maxFailures(c)
				if o.list {
					if err := wantArguments(c); err != nil {
						return err
					}
					return o.printKinds(sys)
				}
				if err := wantArguments(c, "KIND", "[name=value …]"); err != nil {
					return err
				}
				o.kind, o.values = c.Args().First(), c.Args().Tail()
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet task --list
			pgfleet task file --help
			pgfleet task file -l db1.example.net path=/etc/motd content=hello --check --diff
			pgfleet task certificate -l db_server issuer=servers profile=server`,
		about: aboutKind,
	}
}

func (o *taskOptions) run(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	kind, err := lookupKind(o.kind)
	if err != nil {
		return err
	}
	if o.limit == "" {
		return &usageError{text: "task: no hosts are chosen", hint: "-l PATTERN chooses; -l all means all hosts"}
	}
	values, err := assignments("value", o.values)
	if err != nil {
		return err
	}
	vars, err := assignments("variable", o.vars)
	if err != nil {
		return err
	}
	inv, err := o.fleet.load(vars)
	if err != nil {
		return err
	}
	plan, err := playbooks.AdHoc(inv, kind.Name, values, "all", playbooks.PlanOptions{Vars: vars, Limit: o.limit, MaxFailures: o.maxFailures})
	if err != nil {
		return asConfiguration(err)
	}
	return o.apply.apply(ctx, sys, plan)
}

func lookupKind(name string) (tasks.Kind, error) {
	kind, ok := tasks.Lookup(name)
	if ok {
		return kind, nil
	}
	known := map[string]bool{}
	for _, k := range tasks.Kinds() {
		known[k.Name] = true
	}
	return kind, &usageError{text: fmt.Sprintf("there is no kind of task %q%s", name, tasks.Suggest(name, known)), hint: "pgfleet task --list lists them"}
}

// kindJSON is one kind as task --list -o json prints it.
type kindJSON struct {
	Name    string   `json:"name"`
	Summary string   `json:"summary"`
	Roles   []string `json:"roles,omitempty"`
}

func (o *taskOptions) printKinds(sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	list := []kindJSON{}
	for _, k := range tasks.Kinds() {
		list = append(list, kindJSON{k.Name, sentence(k.Summary), k.Roles})
	}
	if o.apply.out.output != "text" {
		return printers.WriteJSON(sys.Out, list)
	}
	for _, k := range list {
		fmt.Fprintf(sys.Out, "%-18s %s\n", k.Name, k.Summary)
	}
	return nil
}

// aboutKind is the help on one kind; "" when the word names none.
func aboutKind(words []string) string {
	kind, ok := tasks.Lookup(words[0])
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage:\n  pgfleet task %s -l PATTERN [name=value …] [flags]\n", sentence(kind.Summary), kind.Name)
	if kind.Doc != "" {
		fmt.Fprint(&b, "\n"+wrap(kind.Doc, ""))
	}
	if len(kind.Roles) > 0 {
		fmt.Fprintf(&b, "\nFor hosts of role %s.\n", strings.Join(kind.Roles, " or "))
	}
	for i, p := range tasks.Params(kind) {
		if i == 0 {
			fmt.Fprint(&b, "\nParameters:\n")
		}
		name := p.Name
		if p.Rest {
			name = "any other"
		}
		fmt.Fprintf(&b, "  %s (%s)\n%s", name, p.Type, wrap(paramText(p), "      "))
	}
	for i, l := range strings.Split(strings.TrimSpace(kind.Example), "\n") {
		if i == 0 {
			fmt.Fprint(&b, "\nIn a playbook:\n")
		}
		fmt.Fprintln(&b, strings.TrimRight("  "+l, " "))
	}
	fmt.Fprint(&b, "\npgfleet task --help lists the flags.\n")
	return b.String()
}

// paramText says what a parameter is for, what it may be and what it is when not given.
func paramText(p tasks.Param) string {
	parts := []string{p.Doc}
	if len(p.Allowed) > 0 {
		parts = append(parts, "one of "+strings.Join(p.Allowed, ", "))
	}
	switch {
	case p.Required:
		parts = append(parts, "required")
	case p.Default != "":
		parts = append(parts, "default "+p.Default)
	}
	return strings.TrimPrefix(strings.Join(parts, "; "), "; ")
}
