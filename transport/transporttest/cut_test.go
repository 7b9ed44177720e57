package transporttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// counting gives a fake that accepts every step.
func counting(t *testing.T) *Fake {
	return NewFake(t).Func(func(transport.Step) bool { return true }, func(transport.Step) transport.Result { return transport.Result{} })
}

func TestCut(t *testing.T) {
	steps := []transport.Step{{Argv: []string{"a"}}, {Argv: []string{"b"}}, {Argv: []string{"c"}}}
	for _, c := range []struct {
		name   string
		fault  Fault
		n, ran int
	}{{"before", Before, 0, 3}, {"after", After, 0, 6}, {"between", Between, 2, 5}, {"hang", Hang, 0, 3}, {"hang after", HangAfter, 0, 6}} {
		t.Run(c.name, func(t *testing.T) {
			fake := counting(t)
			cut := CutAt(fake, 2, c.fault, c.n)
			if r, err := cut.Do(t.Context(), steps...); err != nil || len(r) != 3 {
				t.Fatal(r, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			for range 2 {
				if r, err := cut.Do(ctx, steps...); !errors.Is(err, transport.ErrUnreachable) || len(r) != 0 {
					t.Errorf("got %v %v", r, err)
				}
			}
			if got := len(fake.Steps()); got != c.ran || cut.Calls() != 3 || !cut.Broken() {
				t.Errorf("%d steps ran, want %d", got, c.ran)
			}
		})
	}
	fake := counting(t)
	if cut := Cut(fake, 0, true); cut.Calls() != 0 || cut.Broken() {
		t.Error("broken from the start")
	} else if _, err := cut.Do(t.Context(), steps...); err != nil {
		t.Error(err)
	}
}

func TestFake(t *testing.T) {
	f := NewFake(t).Key("k", Output("once")).Once().Key("k", Output("again")).Argv(Exit(3, "no"), "false").Argv(Output("y"), "yes")
	r, err := f.Do(t.Context(), transport.Step{Key: "k", Argv: []string{"x"}}, transport.Step{Key: "k", Argv: []string{"x"}},
		transport.Step{Argv: []string{"false"}, Probe: true}, transport.Step{Argv: []string{"false"}}, transport.Step{Argv: []string{"yes"}})
	if err != nil || len(r) != 4 || string(r[0].Stdout) != "once" || string(r[1].Stdout) != "again" || r[3].Code != 3 {
		t.Errorf("%+v %v", r, err)
	}
	f.Close()
	if _, err := f.Do(t.Context()); !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("after Close: %v", err)
	}
	strange := &silent{TB: t}
	g := NewFake(strange)
	if _, err := g.Do(t.Context(), transport.Step{Argv: []string{"unknown"}}); err == nil || !strange.failed {
		t.Error("an unknown step was answered")
	}
}

// silent notes a failure instead of failing.
type silent struct {
	testing.TB
	failed bool
}

func (s *silent) Errorf(string, ...any) { s.failed = true }
func (s *silent) Cleanup(func())        {}
