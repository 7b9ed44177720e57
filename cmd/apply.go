package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// applyOptions say how a plan is applied and shown: run, task and verify share them.
type applyOptions struct {
	connect        connectOptions
	out            outputOptions
	checkOnly      bool
	diff           bool
	detailed       bool
	acceptRefusals bool
	// quiet: changes and what went wrong are all that is printed as text, unless more is asked for.
	quiet bool
}

// flags that every command that runs a plan has.
func (o *applyOptions) flags() []cli.Flag {
	return join(o.connect.flags(), o.out.flags("text", "json", "jsonl"))
}

// changeFlags are for commands that may change something.
func (o *applyOptions) changeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "check", Aliases: []string{"C"}, Usage: "only say what would change", Destination: &o.checkOnly},
		&cli.BoolFlag{Name: "diff", Aliases: []string{"D"}, Usage: "show what differs", Destination: &o.diff},
		&cli.BoolFlag{Name: "detailed-exitcode", Usage: "with --check: exit 7 when changes are pending", Destination: &o.detailed},
	}
}

// runFlags are run's.
func (o *applyOptions) runFlags() []cli.Flag {
	return append(o.changeFlags(),
		&cli.BoolFlag{Name: "accept-refusals", Usage: "raise the stage even where somebody who may log in today would be refused", Destination: &o.acceptRefusals})
}

// check refuses combinations that make no sense.
func (o *applyOptions) check() error {
	if o.detailed && !o.checkOnly {
		return &usageError{text: "--detailed-exitcode goes with --check", hint: "--check (-C) only says what would change; with both, exit code 7 says that something would"}
	}
	return o.out.check()
}

// apply runs a plan and shows it. The error is an exitStatus when everything was told already.
func (o *applyOptions) apply(ctx context.Context, sys *System, plan *playbooks.Plan) error {
	_, err := o.outcome(ctx, sys, plan)
	return err
}

// outcome is apply with how every host fared; nil: no host was contacted.
func (o *applyOptions) outcome(ctx context.Context, sys *System, plan *playbooks.Plan) (*playbooks.Outcome, error) {
	if err := roomFor(0, plan.Hosts, plan.Support); err != nil {
		return nil, err
	}
	// Files of authorities elsewhere are the user's, like the inventory that names them.
	if _, err := tasks.Parties(plan.Inventory.Authorities); err != nil {
		return nil, asConfiguration(err)
	}
	screen := o.out.screen(sys)
	dial, err := o.connect.dialer(sys, screen, plan.Hosts, plan.Support)
	if err != nil {
		return nil, err
	}
	defer dial.close()
	printer := o.printer(sys, screen, plan)
	say := func(text string) { o.say(sys, screen, text) }
	ctx, signals, release := watchInterrupts(ctx, say, func() { closeScreen(screen) })
	defer release()
	outcome, err := playbooks.Run(ctx, plan, playbooks.RunOptions{
		Dial: telling(dial.dial, printer), Forks: o.connect.forks, Check: o.checkOnly, AcceptRefusals: o.acceptRefusals, DetailedExit: o.detailed,
		KeySecret: dial.passphrase, Owner: owner(), Now: sys.Now, Sink: printer.Event, Stop: signals.stop,
	})
	end := printers.Ending{Exit: exitCode(err)}
	if outcome != nil {
		end.Exit, end.Cells = outcome.Exit, outcome.Cells
	}
	printer.Finish(end)
	switch {
	case err != nil && (signals.came() && errors.Is(err, context.Canceled)):
		return outcome, exitStatus(exitInterrupted)
	case err != nil:
		return outcome, err
	case end.Exit != exitOK:
		return outcome, exitStatus(end.Exit)
	}
	return outcome, nil
}

// telling has a printer told when connecting to a host begins and when it has ended.
func telling(dial playbooks.Dialer, printer interface {
	Dialling(host string, most time.Duration)
	Dialled(host string, err error)
}) playbooks.Dialer {
	return func(ctx context.Context, h *inventory.Host, ahead ...transport.Step) (transport.Conn, error) {
		printer.Dialling(h.Name, h.Target.Patience())
		conn, err := dial(ctx, h, ahead...)
		printer.Dialled(h.Name, err)
		return conn, err
	}
}

// say prints a line for the user beside whatever is shown.
func (o *applyOptions) say(sys *System, screen *printers.Screen, text string) {
	if screen != nil {
		screen.Print(sys.Err, text+"\n")
		return
	}
	fmt.Fprintln(sys.Err, text)
}

func closeScreen(s *printers.Screen) {
	if s != nil {
		s.Close()
	}
}

// printer gives the one that the user chose.
func (o *applyOptions) printer(sys *System, screen *printers.Screen, plan *playbooks.Plan) printers.Printer {
	opt := printers.Options{Out: sys.Out, Err: sys.Err, Style: o.out.style(sys, sys.Out), ErrStyle: o.out.style(sys, sys.Err),
		Verbose: o.out.verbose, Diff: o.diff, Check: o.checkOnly, Width: width(sys), Screen: screen, Shape: shape(plan)}
	opt.HostWidth, opt.TaskWidth = columns(plan)
	switch {
	case o.out.json:
		return printers.NewJSON(opt)
	case o.out.jsonLine:
		return printers.NewJSONL(opt)
	}
	if o.quiet && !o.out.verbose {
		return printers.NewQuiet(opt)
	}
	return printers.NewText(opt)
}

// shape counts a plan's tasks for the live display.
func shape(plan *playbooks.Plan) printers.Shape {
	var out printers.Shape
	for _, p := range plan.Plays {
		s := printers.PlayShape{Name: p.Name, Tasks: map[string]int{}}
		for host, tasks := range p.Tasks {
			s.Tasks[host] = len(tasks)
		}
		out = append(out, s)
	}
	return out
}

// columns gives the widths of the longest names of a plan's hosts and tasks; longer ones than 40 and 20 columns do not count.
func columns(plan *playbooks.Plan) (host, task int) {
	widen := func(width *int, name string, most int) {
		if n := utf8.RuneCountInString(name); n <= most {
			*width = max(*width, n)
		}
	}
	for _, p := range plan.Plays {
		for name, list := range p.Tasks {
			widen(&host, name, 40)
			for _, t := range list {
				widen(&task, cmp.Or(t.Name, t.Kind), 20)
			}
		}
	}
	return host, task
}

// owner names this run to whoever meets its lease on a host: alice@workstation pid 4711.
func owner() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return fmt.Sprintf("%s@%s pid %d", name, host, os.Getpid())
}
