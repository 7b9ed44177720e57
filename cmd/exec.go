package cmd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// execOptions is what pgfleet exec was asked for.
type execOptions struct {
	argv    []string
	limit   string
	user    string
	timeout time.Duration
	fleet   fleetOptions
	connect connectOptions
	out     outputOptions
}

func newExec(sys *System) *command {
	o := &execOptions{}
	return &command{
		Command: &cli.Command{
			Name: "exec", Usage: "Run a command on some hosts", ArgsUsage: "-- COMMAND [WORD …]",
			Description: `The command is words, not shell text: pipes, quotes and $ mean nothing (-- sh -c '…' where you want a shell). It runs as root where the
inventory says become, else as the login user; -u chooses another. Flags stand before the command. Exit 2 when a command
ended with another code than 0, 4 when a host was not reached.`,
			Flags: join([]cli.Flag{
				limitFlag(&o.limit),
				&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as this OS `USER`", Destination: &o.user},
				&cli.DurationFlag{Name: "timeout", Value: transport.DefaultLimit, Usage: "end the command after this `TIME`, on the host too (default 1m)", Destination: &o.timeout},
			}, o.fleet.flags(), o.connect.flags(), o.out.flags("text", "json", "jsonl")),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "COMMAND", "[WORD …]"); err != nil {
					return err
				}
				o.argv = c.Args().Slice()
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet exec -l client -- psql --version
			pgfleet exec -l db_server -u postgres -- psql -Atc 'select version()'
			pgfleet exec -l all -- systemctl is-system-running`,
		stopAtFirst: true,
	}
}

func (o *execOptions) run(ctx context.Context, sys *System) error {
	if err := o.out.check(); err != nil {
		return err
	}
	if o.limit == "" {
		return &usageError{text: "exec: no hosts are chosen", hint: "-l PATTERN chooses; -l all means all hosts"}
	}
	if err := shell.Check([]transport.Step{o.step()}); err != nil {
		return usagef("exec: %v", errors.Unwrap(err))
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	hosts, err := choose(inv, o.limit)
	if err != nil {
		return err
	}
	shown := printers.NewExec(sys.Out, o.out.style(sys, sys.Out), o.out.output)
	var mu sync.Mutex
	end, err := onEach(ctx, sys, &o.connect, hosts, func(ctx context.Context, h *inventory.Host, way *door) events.Kind {
		result := o.one(ctx, sys, h, way.dial)
		mu.Lock()
		defer mu.Unlock()
		shown.Result(result)
		return result.Kind
	})
	if err != nil {
		return err
	}
	if err := shown.Finish(); err != nil {
		return fmt.Errorf("print results: %w", err)
	}
	return ended(end)
}

// step is the command as a host gets it.
func (o *execOptions) step() transport.Step {
	return transport.Step{Key: "exec", Argv: o.argv, User: o.user, Limit: o.timeout}
}

// one runs the command on one host.
func (o *execOptions) one(ctx context.Context, sys *System, h *inventory.Host, dial playbooks.Dialer) printers.ExecResult {
	out := printers.ExecResult{Host: h.Name, Kind: events.Unreachable, Code: -1}
	conn, err := dial(ctx, h)
	if errors.Is(err, context.Canceled) {
		out.Kind, out.Error = events.Interrupted, "stopped while connecting"
		return out
	}
	if err != nil {
		out.Error, out.Hint = err.Error(), hintOf(err)
		return out
	}
	defer conn.Close()
	begin := sys.Now()
	results, err := conn.Do(ctx, o.step())
	out.TookMS = sys.Now().Sub(begin).Milliseconds()
	if err == nil && len(results) != 1 {
		err = errors.New("the host gave no result")
	}
	if err != nil {
		out.Error, out.Hint = err.Error(), hintOf(err)
		if ctx.Err() != nil {
			out.Kind = events.Interrupted
		}
		return out
	}
	r := results[0]
	out.Kind, out.Code, out.Stdout, out.Stderr = events.OK, r.Code, string(r.Stdout), string(r.Stderr)
	if r.Err != nil {
		out.Kind = events.Failed
		var exit *transport.ExitError
		if !errors.As(r.Err, &exit) {
			out.Error = r.Err.Error()
		}
	}
	return out
}
