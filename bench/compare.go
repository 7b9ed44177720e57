package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// compare measures everything that was asked for and writes the report after each round, so that little is lost when it is interrupted.
func compare(ctx context.Context, o options, log io.Writer) error {
	chosen, err := choose(o.tools)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("make folder for the report: %w", err)
	}
	if err := adopt(); err != nil {
		return err
	}
	r := &results{Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Command: strings.Join(append([]string{"bin/bench"}, o.words...), " ")}
	for _, rtt := range o.rtts {
		for _, size := range o.sizes {
			if err := oneFleet(ctx, o, r, chosen, size, rtt, log); err != nil {
				return fmt.Errorf("%s: %w", fleetName(size, rtt), err)
			}
		}
	}
	return nil
}

func choose(names []string) ([]tool, error) {
	if names == nil {
		return tools, nil
	}
	var chosen []tool
	for _, name := range names {
		i := slices.IndexFunc(tools, func(t tool) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no tool %q; there are: %s", name, strings.Join(toolNames(), ", "))
		}
		chosen = append(chosen, tools[i])
	}
	return chosen, nil
}

func fleetName(size int, rtt time.Duration) string {
	if rtt == 0 {
		return fmt.Sprintf("%d+%d hosts", size, size)
	}
	return fmt.Sprintf("%d+%d hosts, %s", size, size, rtt)
}

// oneFleet makes a fleet, and all tools take turns on it; each round begins with another tool.
func oneFleet(ctx context.Context, o options, r *results, chosen []tool, size int, rtt time.Duration, log io.Writer) (err error) {
	f, err := newFleet(ctx, size, rtt, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(ctx)) }()
	r.note(f, chosen)
	for round := range o.runs {
		for i := range chosen {
			t := chosen[(i+round)%len(chosen)]
			if err := f.turn(ctx, t, round, r, log); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, t.name, err)
			}
		}
		if err := r.write(o.out); err != nil {
			return err
		}
	}
	return nil
}

// note records the commands once.
func (r *results) note(f *fleet, chosen []tool) {
	if r.Commands != nil {
		return
	}
	for _, t := range chosen {
		for _, s := range t.steps {
			if s.name != secondRun {
				r.Commands = append(r.Commands, command{t.name, s.name, t.line(f, s)})
			}
		}
	}
}

// turn lets one tool do all its steps.
func (f *fleet) turn(ctx context.Context, t tool, round int, r *results, log io.Writer) error {
	for _, s := range t.steps {
		if s.fresh {
			if err := f.reset(ctx); err != nil {
				return err
			}
		}
		got, err := f.take(ctx, t, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		// A second run that changed nothing has left what was verified before it; once is enough to see that it says the truth.
		if s.verified && (s.fresh || round == 0) {
			if err := f.verify(ctx); err != nil {
				return fmt.Errorf("%s: its result does not pass:\n%w", s.name, err)
			}
		}
		r.add(f.size, f.rtt, t.name, s.name, got)
		fmt.Fprintf(log, "%s  round %d  %-22s %-11s %7.2f s  CPU %6.2f s, hosts' %6.2f s  %4d MiB  %d connections, %d sessions, %d processes\n", fleetName(f.size, f.rtt), round+1, t.name, s.name,
			got.Wall.Seconds(), got.CPU.Seconds(), got.Hosts.Seconds(), got.Memory>>20, got.Connections, got.Sessions, got.Processes)
	}
	return nil
}

// take measures one step. An error carries what the tool printed.
func (f *fleet) take(ctx context.Context, t tool, s step) (sample, error) {
	if _, err := f.counted(ctx); err != nil {
		return sample{}, err
	}
	before := hostsTime()
	got, out, err := f.output(ctx, t.command(f, s))
	if err == nil {
		time.Sleep(300 * time.Millisecond) // sessions end on the hosts, too
		got.Hosts = hostsTime() - before
		err = t.read(out, &got)
	}
	if err == nil && s.unchanged && got.Changed != 0 {
		err = fmt.Errorf("it changed %d things, want none\n%s", got.Changed, out)
	}
	if err != nil {
		return got, err
	}
	n, err := f.counted(ctx)
	got.Connections, got.Sessions, got.Processes = n.connections, n.sessions, n.processes
	return got, err
}

// output measures a command whose output goes to files, because what it leaves in the background would hold pipes open.
func (f *fleet) output(ctx context.Context, cmd *exec.Cmd) (sample, string, error) {
	stdout, stderr := filepath.Join(f.work, "stdout"), filepath.Join(f.work, "stderr")
	var files [2]*os.File
	for i, path := range []string{stdout, stderr} {
		file, err := os.Create(path)
		if err != nil {
			return sample{}, "", fmt.Errorf("keep output: %w", err)
		}
		defer file.Close()
		files[i] = file
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	got, err := measure(ctx, cmd)
	out, readErr := os.ReadFile(stdout)
	errs, moreErr := os.ReadFile(stderr)
	if err = errors.Join(err, readErr, moreErr); err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", cmd.Args[0], err, out, errs)
	}
	return got, string(out), err
}
