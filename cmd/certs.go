package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// certsOptions is what pgfleet certs was asked for.
type certsOptions struct {
	limit      string
	failWithin string
	orphans    bool
	// show is HOST:PATH, "" for the table.
	show    string
	fleet   fleetOptions
	connect connectOptions
	out     outputOptions

	within time.Duration
}

func newCerts(sys *System) *command {
	o := &certsOptions{}
	return &command{
		Command: &cli.Command{
			Name: "certs", Usage: "Show every certificate, key and list of revoked certificates, and what is wrong with it", ArgsUsage: "[show HOST:PATH]",
			Description: `One table of the whole fleet, the most urgent first: what has ended or ends soon, is revoked, does not match its key, is not what the server presents,
is not accepted by those who should, has lost its rules or settings. Nothing is changed. show explains one file, and says when it is renewed and why.
Exit 4 when a host was not reached; the others are shown.`,
			Flags: join([]cli.Flag{
				limitFlag(&o.limit),
				&cli.StringFlag{Name: "fail-within", Usage: "exit 8 when something ends within this `TIME` (30d, 12h), or is broken already", Destination: &o.failWithin},
				&cli.BoolFlag{Name: "orphans", Usage: "list instead what was issued, is good, and is on no host where it should be", Destination: &o.orphans},
			}, o.fleet.flags(), o.connect.flags(), o.out.flags("text", "json", "jsonl")),
			Action: func(c *cli.Context) error {
				if err := o.arguments(c); err != nil {
					return err
				}
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet certs
			pgfleet certs -l db_server -o json
			pgfleet certs --fail-within 30d
			pgfleet certs --orphans
			pgfleet certs show ca1.example.net:/etc/pgfleet/ca/clients/certs/ca.crt`,
	}
}

// arguments takes "show HOST:PATH", or nothing.
func (o *certsOptions) arguments(c *cli.Context) error {
	if err := wantArguments(c, "[show]", "[HOST:PATH]"); err != nil {
		return err
	}
	switch word := c.Args().First(); {
	case word == "":
		return nil
	case word != "show":
		return &usageError{text: fmt.Sprintf("certs: %q is not show", word), hint: "-l PATTERN chooses hosts; pgfleet certs show HOST:PATH explains one file"}
	case c.Args().Len() < 2:
		return &usageError{text: "certs show wants HOST:PATH", hint: "pgfleet certs lists hosts and paths"}
	}
	o.show = c.Args().Get(1)
	if o.limit != "" || o.failWithin != "" || o.orphans {
		return usagef("certs show explains one file: --limit, --fail-within and --orphans have no meaning with it")
	}
	return nil
}

// check reads what was given as text.
func (o *certsOptions) check() (err error) {
	if err := o.out.check(); err != nil {
		return err
	}
	if o.failWithin == "" {
		return nil
	}
	if o.orphans {
		return usagef("--fail-within is about what is in force, and orphans are not: give one of --fail-within and --orphans")
	}
	if o.within, err = pki.ParseDuration(o.failWithin); err != nil {
		return &usageError{text: "--fail-within: " + err.Error()}
	}
	return nil
}

func (o *certsOptions) run(ctx context.Context, sys *System) error {
	if err := o.check(); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	chosen, path, err := o.chosen(inv)
	if err != nil {
		return err
	}
	fleet, end, err := o.look(ctx, sys, inv, o.needed(sys, inv, chosen))
	if err != nil {
		return err
	}
	rows := o.rows(fleet, chosen, path)
	if err := o.print(sys, rows); err != nil {
		return err
	}
	if path != "" && !slices.ContainsFunc(rows, func(r survey.Row) bool { return r.Path == path }) && end.ExitCode() == exitOK {
		fmt.Fprintf(sys.Err, "error: certs show: no certificate, key or list is known at %s\nhint: pgfleet certs -l %s lists what there is\n", printers.Clean(o.show), chosen[0].Name)
		return exitStatus(exitFailed)
	}
	now := fleet.Now
	end.Expiring = o.failWithin != "" && slices.ContainsFunc(rows, func(r survey.Row) bool {
		return r.Ends(now, o.within) || r.State.Level() == survey.Broken && r.Kind != survey.KindHost
	})
	return ended(end)
}

// chosen gives the hosts whose rows are shown, and the path with show.
func (o *certsOptions) chosen(inv *inventory.Inventory) ([]*inventory.Host, string, error) {
	if o.show == "" {
		hosts, err := choose(inv, o.limit)
		return hosts, "", err
	}
	// The host's name may hold colons (an IPv6 address), the path begins with a slash.
	name, path, ok := strings.Cut(o.show, ":/")
	h, known := inv.Host(name)
	if some, err := inv.Select(name); !known && err == nil && len(some) == 1 {
		h, known = some[0], true // its first label, or its address
	}
	switch {
	case !ok:
		return nil, "", &usageError{text: fmt.Sprintf("certs show: %q is not HOST:PATH", o.show), hint: "pgfleet certs lists hosts and paths; a path begins with /"}
	case !known:
		return nil, "", &usageError{text: fmt.Sprintf("certs show: the inventory has no host %q", name), hint: "pgfleet hosts lists names, roles and groups"}
	}
	return []*inventory.Host{h}, "/" + path, nil
}

// needed adds the hosts without which the chosen ones cannot be judged: those that they depend on and, of a server that is explained, its clients.
func (o *certsOptions) needed(sys *System, inv *inventory.Inventory, chosen []*inventory.Host) []*inventory.Host {
	want := map[string]bool{}
	away, _ := inv.TakenAway(o.limit) // its mistakes were told when the hosts were chosen
	support, despite := inv.SupportWithout(chosen, away)
	for _, name := range despite {
		fmt.Fprintf(sys.Err, "notice: %s is looked at all the same: it holds an authority, and nothing can be judged without its certificates and lists\n", printers.Clean(name))
	}
	for _, list := range [][]*inventory.Host{chosen, support} {
		for _, h := range list {
			want[h.Name] = true
		}
	}
	var out []*inventory.Host
	for _, h := range inv.Hosts {
		if want[h.Name] || o.show != "" && h.HasRole("client") && slices.Contains(h.ConnectsTo, chosen[0].Name) {
			out = append(out, h)
		}
	}
	return out
}

// look sees the hosts, and gives what decides the exit code.
func (o *certsOptions) look(ctx context.Context, sys *System, inv *inventory.Inventory, hosts []*inventory.Host) (*survey.Fleet, playbooks.Ending, error) {
	var end playbooks.Ending
	if err := roomFor(0, hosts); err != nil {
		return nil, end, err
	}
	way, err := o.connect.dialer(sys, nil, hosts)
	if err != nil {
		return nil, end, err
	}
	defer way.close()
	ctx, signals, release := watchInterrupts(ctx, sayTo(sys.Err), func() {})
	defer release()
	fleet, outcome, err := playbooks.Survey(ctx, inv, hosts, playbooks.RunOptions{Dial: way.dial, Forks: o.connect.forks, Owner: owner(), Now: sys.Now, Stop: signals.stop,
		Sink: func(e events.Event) {
			if e.Type == events.Notice {
				fmt.Fprintln(sys.Err, "notice: "+printers.Clean(e.Summary))
			}
		}})
	if err != nil {
		return nil, end, err
	}
	for _, s := range fleet.Servers {
		if s.Stopped {
			fmt.Fprintf(sys.Err, "notice: %s: cluster %s is not running: its files are looked at, and not what it presents\n", printers.Clean(s.Host), printers.Clean(s.Cluster))
		}
	}
	for _, h := range outcome.Hosts {
		end.Add(h.Kind)
	}
	end.Internal = outcome.Exit == exitInternal
	end.Failed = end.Failed || slices.ContainsFunc(fleet.Unseen, func(u survey.Unseen) bool { return !u.Unreachable })
	return fleet, end, nil
}

// rows gives what is shown: of the chosen hosts, and everything that could not be looked at.
func (o *certsOptions) rows(fleet *survey.Fleet, chosen []*inventory.Host, path string) []survey.Row {
	wanted := map[string]bool{}
	for _, h := range chosen {
		wanted[h.Name] = true
	}
	all := survey.Judge(fleet)
	if o.orphans {
		all = append(slices.DeleteFunc(all, func(r survey.Row) bool { return r.Kind != survey.KindHost }), survey.Orphans(fleet)...)
	}
	return slices.DeleteFunc(append([]survey.Row{}, all...), func(r survey.Row) bool {
		fleets := r.Host == "" && o.limit == "" && path == "" // a list that an authority is asked for
		return r.Kind != survey.KindHost && !fleets && (!wanted[r.Host] || path != "" && r.Path != path)
	})
}

func (o *certsOptions) print(sys *System, rows []survey.Row) error {
	switch {
	case o.out.json:
		return printers.WriteJSON(sys.Out, rows)
	case o.out.jsonLine:
		return printers.CertsJSONL(sys.Out, rows)
	}
	opt := printers.CertsOptions{Style: o.out.style(sys, sys.Out), Width: width(sys), Verbose: o.out.verbose, Orphans: o.orphans}
	if o.show != "" {
		printers.CertsShow(sys.Out, opt, rows)
	} else {
		printers.Certs(sys.Out, opt, rows)
	}
	return nil
}
