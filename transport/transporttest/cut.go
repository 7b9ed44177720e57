package transporttest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/pgfleet/pgfleet/transport"
)

// Fault is a way in which a connection breaks.
type Fault int

const (
	// Before: the connection is lost before any step of the call ran.
	Before Fault = iota
	// After: all steps ran (or stopped at a failure), the answer is lost.
	After
	// Between: the first steps ran, the others did not; the answer is lost.
	Between
	// Hang: no answer ever comes; the call ends with its context. The steps did not run.
	Hang
	// HangAfter is Hang with steps that did run.
	HangAfter
)

// Cutter is a connection that breaks at a chosen call of Do and stays broken.
type Cutter struct {
	conn  transport.Conn
	at    int
	fault Fault
	steps int

	mu     sync.Mutex
	calls  int
	broken bool
	seen   [][]transport.Step
}

// Cut breaks conn at its n-th call of Do, counted from 1: before the steps ran, or after. n = 0 never breaks: Calls then
// says how many a walk has to cut.
func Cut(conn transport.Conn, n int, after bool) *Cutter {
	if after {
		return CutAt(conn, n, After, 0)
	}
	return CutAt(conn, n, Before, 0)
}

// CutAt breaks conn at its n-th call of Do in the way of fault; steps counts for Between: so many of them run.
func CutAt(conn transport.Conn, n int, fault Fault, steps int) *Cutter {
	return &Cutter{conn: conn, at: n, fault: fault, steps: steps}
}

// Calls is how often Do was called.
func (c *Cutter) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Seen gives the steps of every call so far.
func (c *Cutter) Seen() [][]transport.Step {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]transport.Step(nil), c.seen...)
}

// Broken says whether the fault has happened.
func (c *Cutter) Broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Do runs the steps, or breaks.
func (c *Cutter) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	c.mu.Lock()
	wasBroken := c.broken
	c.calls++
	c.seen = append(c.seen, steps)
	now := !wasBroken && c.calls == c.at
	c.broken = wasBroken || now
	c.mu.Unlock()
	if wasBroken {
		return nil, fmt.Errorf("%w: cut earlier", transport.ErrUnreachable)
	}
	if !now {
		return c.conn.Do(ctx, steps...)
	}
	run := steps
	switch c.fault {
	case Before, Hang:
		run = nil
	case Between:
		run = steps[:min(c.steps, len(steps))]
	}
	if len(run) > 0 {
		if results, err := c.conn.Do(ctx, run...); err != nil {
			return results, err
		}
	}
	if c.fault == Hang || c.fault == HangAfter {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, ctx.Err())
	}
	return nil, fmt.Errorf("%w: cut at call %d", transport.ErrUnreachable, c.at)
}

// Dial connects from the host as long as the connection is not broken.
func (c *Cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Broken() {
		return nil, fmt.Errorf("%w: cut earlier", transport.ErrUnreachable)
	}
	return c.conn.Dial(ctx, network, addr)
}

// Close ends the connection.
func (c *Cutter) Close() error { return c.conn.Close() }
