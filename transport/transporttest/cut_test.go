package transporttest

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// counter is a connection on which every step works; it counts them.
type counter struct{ steps int }

func (c *counter) Do(_ context.Context, steps ...transport.Step) ([]transport.Result, error) {
	c.steps += len(steps)
	return make([]transport.Result, len(steps)), nil
}

func (*counter) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, transport.ErrForwarding
}

func (*counter) Close() error { return nil }

func TestCut(t *testing.T) {
	steps := []transport.Step{{Argv: []string{"a"}}, {Argv: []string{"b"}}, {Argv: []string{"c"}}}
	for _, c := range []struct {
		name   string
		fault  Fault
		n, ran int
	}{{"before", Before, 0, 3}, {"after", After, 0, 6}, {"between", Between, 2, 5}, {"hang", Hang, 0, 3}, {"hang after", HangAfter, 0, 6}} {
		t.Run(c.name, func(t *testing.T) {
			fake := &counter{}
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
			if got := fake.steps; got != c.ran || cut.Calls() != 3 || !cut.Broken() {
				t.Errorf("%d steps ran, want %d", got, c.ran)
			}
		})
	}
	fake := &counter{}
	if cut := Cut(fake, 0, true); cut.Calls() != 0 || cut.Broken() {
		t.Error("broken from the start")
	} else if _, err := cut.Do(t.Context(), steps...); err != nil {
		t.Error(err)
	}
}
