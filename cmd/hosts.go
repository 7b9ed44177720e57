package cmd

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
)

// hostsOptions is what pgfleet hosts was asked for.
type hostsOptions struct {
	pattern string
	limit   string
	ping    bool
	fleet   fleetOptions
	connect connectOptions
	out     outputOptions
}

func newHosts(sys *System) *command {
	o := &hostsOptions{}
	return &command{
		Command: &cli.Command{
			Name: "hosts", Usage: "List hosts, and test whether they can be reached", ArgsUsage: "[PATTERN]",
			Description: `Without PATTERN all hosts. --ping connects, becomes root where the inventory says so, and tells what openssl and psql are there;
exit 4 when a host was not reached.`,
			Flags: join([]cli.Flag{
				limitFlag(&o.limit),
				&cli.BoolFlag{Name: "ping", Usage: "connect to each host", Destination: &o.ping},
			}, o.fleet.flags(), o.connect.flags(), o.out.flags("text", "json")),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "[PATTERN]"); err != nil {
					return err
				}
				o.pattern = c.Args().First()
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet hosts
			pgfleet hosts 'client:!app3.example.net' -o json
			pgfleet hosts db_server --ping`,
	}
}

func (o *hostsOptions) run(ctx context.Context, sys *System) error {
	if err := o.out.check(); err != nil {
		return err
	}
	if o.limit != "" && o.pattern != "" {
		return usagef("hosts: give the pattern once, as an argument or with --limit")
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	hosts, err := choose(inv, o.pattern+o.limit)
	if err != nil {
		return err
	}
	rows := make([]printers.HostRow, len(hosts))
	for i, h := range hosts {
		rows[i] = printers.HostRow{Host: h.Name, Address: h.Address, Port: port(h), User: h.Target.User, Become: h.Target.Become,
			Roles: append([]string{}, h.Roles...), Groups: append([]string{}, h.Groups...)}
	}
	var end playbooks.Ending
	if o.ping {
		if end, err = o.pingAll(ctx, sys, hosts, rows); err != nil {
			return err
		}
	}
	if err := o.print(sys, rows); err != nil {
		return err
	}
	return ended(end)
}

func port(h *inventory.Host) int {
	if h.Target.Port == 0 {
		return 22
	}
	return h.Target.Port
}

func (o *hostsOptions) print(sys *System, rows []printers.HostRow) error {
	if o.out.json {
		return printers.WriteJSON(sys.Out, rows)
	}
	printers.Hosts(sys.Out, o.out.style(sys, sys.Out), rows, o.ping)
	return nil
}

// pingAll connects to every host and fills in what it said.
func (o *hostsOptions) pingAll(ctx context.Context, sys *System, hosts []*inventory.Host, rows []printers.HostRow) (playbooks.Ending, error) {
	place := map[*inventory.Host]int{}
	for i, h := range hosts {
		place[h] = i
	}
	return onEach(ctx, sys, &o.connect, hosts, func(ctx context.Context, h *inventory.Host, way *door) events.Kind {
		rows[place[h]].Ping = pingOne(ctx, sys, h, way.dial)
		if rows[place[h]].Ping.OK {
			return events.OK
		}
		return events.Unreachable
	})
}

// ended gives the error that ends a command with the code of an Ending.
func ended(end playbooks.Ending) error {
	if code := end.ExitCode(); code != exitOK {
		return exitStatus(code)
	}
	return nil
}
