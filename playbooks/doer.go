package playbooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// doer is a host's connection as the run uses it: it takes the host's lease in the first round trip that changes something, renews it,
// and counts.
type doer struct {
	host string
	conn transport.Conn
	// dir of the lease; "" takes none (a restricted CA host guards itself).
	dir  string
	who  tenant
	gone func(*LockedError) bool
	now  func() time.Time
	// readOnly refuses every step that is no probe (--check).
	readOnly bool

	mu sync.Mutex
	// leased is when the lease was taken or renewed; zero: never.
	leased time.Time
	trips  int
	// changing counts steps sent that are no probes.
	changing int
}

// Do runs steps in one round trip, in front of them the lease where one is needed. The error is the connection's, or wraps ErrLocked: then
// nothing was done.
func (d *doer) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !changes(steps) {
		return d.send(ctx, steps)
	}
	if d.readOnly {
		return nil, fmt.Errorf("a change was sent to %s in a check", d.host)
	}
	if d.dir == "" || !d.leased.IsZero() && d.now().Sub(d.leased) < leaseRenew {
		d.changing++
		return d.send(ctx, steps)
	}
	results, err := d.leasedDo(ctx, "", steps)
	if held := new(LockedError); errors.As(err, &held) && d.gone != nil && d.gone(held) {
		return d.leasedDo(ctx, held.Run, steps)
	}
	return results, err
}

// leasedDo sends steps behind the lease's and gives their results alone. over is the id of a dead run whose lease is taken over.
func (d *doer) leasedDo(ctx context.Context, over string, steps []transport.Step) ([]transport.Result, error) {
	all := make([]transport.Step, 0, len(steps)+1)
	all = append(append(all, d.who.takeStep(d.dir, over)), steps...)
	before := d.now()
	results, err := d.send(ctx, all)
	if len(results) == 0 {
		return nil, err
	}
	if err := leaseError(d.host, results[0]); err != nil {
		return nil, err
	}
	d.leased = before
	d.changing++
	return results[1:], err
}

func (d *doer) send(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	d.trips++
	return d.conn.Do(ctx, steps...)
}

// Dial opens a network connection as seen from the host.
func (d *doer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.conn.Dial(ctx, network, addr)
}

// release gives the lease back, if one was taken. It is best effort: a lease ends by itself.
func (d *doer) release(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leased.IsZero() {
		return
	}
	d.leased = time.Time{}
	_, _ = d.send(ctx, []transport.Step{d.who.releaseStep(d.dir)})
}

// changed counts the round trips so far that carried a change.
func (d *doer) changed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changing
}

// stats gives what the connection cost: its own count, or ours where it does not count.
func (d *doer) stats() transport.Stats {
	if c, ok := d.conn.(interface{ Stats() transport.Stats }); ok {
		return c.Stats()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return transport.Stats{Connections: 1, RoundTrips: d.trips}
}

func changes(steps []transport.Step) bool {
	for _, s := range steps {
		if !s.Probe {
			return true
		}
	}
	return false
}
