// Command bench compares pgfleet with what a user would pick instead: the whole job of playbooks/mtls.yaml, on the same fleet, in turns.
// See README.md here.
//
// The rules: a tool's time counts only when its result has passed the same verification; a second run has to say that it changed nothing;
// what a tool leaves running in the background is counted, and ended before the next tool begins.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// options are what the benchmark was asked for.
type options struct {
	sizes  []int           // servers, and as many clients
	rtts   []time.Duration // round-trip times of SSH
	runs   int
	tools  []string // names from the list in tools.go; none: all
	out    string   // folder for RESULTS.md, results.json, walltime.svg
	redraw bool     // only write the report again, from results.json
	words  []string // the command line, for the report
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{words: args}
	var sizes, rtts, tools string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&sizes, "sizes", "1,10,20", "numbers of servers, and of clients: 10 is a fleet of 10+10 hosts and three authorities'")
	f.StringVar(&rtts, "rtt", "0,20ms", "round-trip times of SSH")
	f.IntVar(&o.runs, "runs", 5, "runs of each tool; the report has medians")
	f.StringVar(&tools, "tools", "", "only these tools, with commas: "+strings.Join(toolNames(), ", "))
	f.StringVar(&o.out, "out", "", "folder for RESULTS.md, results.json and walltime.svg (default: bench with nothing else said, else bin/bench-quick)")
	f.BoolVar(&o.redraw, "redraw", false, "measure nothing: write RESULTS.md and walltime.svg again from results.json")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.out == "" {
		// A quick look never takes the place of the figures that are kept.
		o.out = "bench"
		f.Visit(func(given *flag.Flag) {
			if given.Name != "redraw" {
				o.out = "bin/bench-quick"
			}
		})
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("size %q: use a number from 1", text)
		}
		o.sizes = append(o.sizes, n)
	}
	for text := range strings.SplitSeq(rtts, ",") {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return o, fmt.Errorf("round-trip time %q: use 0 or a time such as 20ms", text)
		}
		o.rtts = append(o.rtts, d)
	}
	if tools != "" {
		o.tools = strings.Split(tools, ",")
	}
	if o.runs < 1 {
		return o, fmt.Errorf("%d runs: use 1 or more", o.runs)
	}
	return o, nil
}

func run(args []string, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 5
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.redraw {
		err = redraw(o.out)
	} else {
		err = compare(ctx, o, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		return 130
	}
	return 1
}
