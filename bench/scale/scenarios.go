package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/bench/scale/fleet"
)

// bench is one session of measuring.
type bench struct {
	program, root string
	sizes         []int
	progress      io.Writer
	began         time.Time
	load          string
	// bySize: the steps of steps(), at each size. Others by name.
	bySize map[int][]sample
	forks  []sample
	other  map[string]sample
}

// with starts a fleet in a folder of its own, and ends it after do.
func (b *bench) with(opt fleet.Options, do func(*fleet.Fleet) error) error {
	dir, err := os.MkdirTemp("", "pgfleet-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	opt.Dir, opt.Root = dir, b.root
	f, err := fleet.Start(opt)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// steps are done one after the other to a new fleet, and each has to end with exit code 0.
var steps = []struct {
	name string
	args []string
}{
	{"hosts --ping", []string{"hosts", "--ping"}},
	{"exec", []string{"exec", "-l", "all", "--", "true"}},
	{"check, new fleet", []string{"run", "--check", "mtls"}},
	{"first run", []string{"run", "mtls"}},
	{"second run", []string{"run", "mtls"}},
	{"second run, no tests", []string{"run", "mtls", "--verify", "none", "-e", "prove=none"}},
	{"check, nothing to change", []string{"run", "--check", "--detailed-exitcode", "mtls"}},
}

// small is the size at which everything but the sizes themselves is measured.
func (b *bench) small() int { return b.sizes[0] }

func (b *bench) all() error {
	b.began, b.bySize, b.other = time.Now(), map[int][]sample{}, map[string]sample{}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.load = strings.Join(strings.Fields(string(text))[:3], ", ")
	}
	for _, part := range []func() error{b.slowHost, b.bastion, b.oneSession, b.hashedNames, b.openFiles, b.forksCurve} {
		if err := part(); err != nil {
			return err
		}
	}
	for _, n := range b.sizes {
		if err := b.size(n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) size(n int) error {
	return b.with(fleet.Options{Hosts: n}, func(f *fleet.Fleet) error {
		for _, step := range steps {
			s, err := b.measure(f, step.name, n, "", step.args...)
			if err == nil && s.Exit != 0 {
				err = fmt.Errorf("%s at %d hosts: exit %d: %.2000s", step.name, n, s.Exit, s.Err)
			}
			if err != nil {
				return err
			}
			b.bySize[n] = append(b.bySize[n], s)
		}
		return nil
	})
}

// keep measures once on a fleet of its own, and wants an exit code.
func (b *bench) keep(name string, opt fleet.Options, wrap string, exit int, args ...string) error {
	return b.with(opt, func(f *fleet.Fleet) error {
		s, err := b.measure(f, name, opt.Hosts, wrap, args...)
		if err == nil && s.Exit != exit {
			err = fmt.Errorf("%s: exit %d, not %d: %.2000s", name, s.Exit, exit, s.Err)
		}
		b.other[name] = s
		return err
	})
}

// slowHost: one host answers the look after 10 s; one takes 30 s for its first change. What the others do is seen from when their lines come.
func (b *bench) slowHost() error {
	slow := fleet.Options{Hosts: b.small(), Slow: "app0001-01.fleet.example", SlowDelay: 10 * time.Second}
	if err := b.keep("slow exec", slow, "", 0, "exec", "-l", "all", "--", "true"); err != nil {
		return err
	}
	if err := b.keep("slow check", slow, "", 0, "run", "--check", "mtls"); err != nil {
		return err
	}
	slow.SlowBatch, slow.SlowDelay = 2, 30*time.Second
	return b.keep("slow run", slow, "", 0, "run", "mtls", "-o", "jsonl")
}

func (b *bench) bastion() error {
	opt := fleet.Options{Hosts: b.small(), Bastion: true, Startups: [3]int{10, 30, 100}}
	if err := b.keep("bastion ping", opt, "", 0, "hosts", "--ping"); err != nil {
		return err
	}
	if err := b.keep("bastion check", opt, "", 0, "run", "--check", "mtls"); err != nil {
		return err
	}
	return b.keep("startups 1:100:1", fleet.Options{Hosts: b.small(), Startups: [3]int{1, 100, 1}}, "", 0, "run", "--check", "mtls")
}

func (b *bench) oneSession() error {
	return b.keep("MaxSessions 1", fleet.Options{Hosts: b.small(), MaxSessions: 1}, "", 0, "run", "mtls")
}

func (b *bench) hashedNames() error {
	for _, times := range []int{1, 2} {
		n := times * b.small()
		if err := b.keep(fmt.Sprintf("hashed %d", n), fleet.Options{Hosts: n, HashedKnownHosts: true}, "", 0, "hosts", "--ping"); err != nil {
			return err
		}
	}
	return nil
}

// openFiles: more hosts than files may be open, and a soft limit that is below what the hard one allows.
func (b *bench) openFiles() error {
	opt := fleet.Options{Hosts: max(b.small(), 1100)}
	if err := b.keep("hard limit 1024", opt, `ulimit -n 1024 && exec "$@"`, 5, "run", "--check", "mtls"); err != nil {
		return err
	}
	if s := b.other["hard limit 1024"]; s.Counts.Connections > 0 {
		return fmt.Errorf("hard limit 1024: %d connections were made", s.Counts.Connections)
	}
	return b.keep("soft limit 1024", opt, `ulimit -Sn 1024 && exec "$@"`, 0, "run", "--check", "mtls")
}

// forksCurve: hosts that take 50 ms for each batch of steps, as hosts that are not simulated do.
func (b *bench) forksCurve() error {
	opt := fleet.Options{Hosts: b.small(), Delay: 50 * time.Millisecond}
	return b.with(opt, func(f *fleet.Fleet) error {
		for _, forks := range []int{5, 10, 25, 50, 100, 200} {
			s, err := b.measure(f, fmt.Sprint(forks), opt.Hosts, "", "run", "--check", "-f", fmt.Sprint(forks), "mtls")
			if err == nil && s.Exit != 0 {
				err = fmt.Errorf("forks %d: exit %d: %.500s", forks, s.Exit, s.Err)
			}
			if err != nil {
				return err
			}
			b.forks = append(b.forks, s)
		}
		return nil
	})
}
