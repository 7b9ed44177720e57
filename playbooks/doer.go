package playbooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// doer is a host's connection as the run uses it: it takes the host's lease in the first round trip that changes something, renews it,
// and counts.
type doer struct {
	host string
	conn transport.Conn
	// dir of the lease.
	dir  string
	who  tenant
	gone func(*LockedError) bool
	now  func() time.Time
	// free: the host takes no lease. Its one program locks by itself.
	free bool
	// readOnly refuses every step that is no probe (--check).
	readOnly bool

	mu sync.Mutex
	// leased is when the lease was taken or renewed; zero: never.
	leased time.Time
	trips  int
	// changing counts round trips that carried a change.
	changing int
	// queue waits for the next one.
	queue []transport.Step
}

// Later has steps sent in front of the next round trip that changes something, at the latest when the run leaves the host. They are notes to the next
// run: what comes of them is not told, a failure stops nothing, and a run that dies before has not sent them.
func (d *doer) Later(steps ...transport.Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range steps {
		s.Probe = true // so that its failure does not stop the list
		d.queue = append(d.queue, s)
	}
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
	if d.free {
		return d.change(ctx, nil, steps)
	}
	if !d.leased.IsZero() && d.now().Sub(d.leased) < leaseRenew {
		return d.change(ctx, nil, steps)
	}
	results, err := d.leasedDo(ctx, "", steps)
	if held := new(LockedError); errors.As(err, &held) && d.gone != nil && d.gone(held) {
		return d.leasedDo(ctx, held.Run, steps)
	}
	return results, err
}

// leasedDo changes something behind the lease. over is the id of a dead run whose lease is taken over.
func (d *doer) leasedDo(ctx context.Context, over string, steps []transport.Step) ([]transport.Result, error) {
	before := d.now()
	take := d.who.takeStep(d.dir, over)
	results, err := d.change(ctx, &take, steps)
	if err == nil {
		d.leased = before
	}
	return results, err
}

// change sends steps, in front of them the lease's if it is given, and gives the results of steps alone. What waited goes in front too, but behind the
// files that steps begin with: those travel together, and what comes before them costs a round trip.
func (d *doer) change(ctx context.Context, take *transport.Step, steps []transport.Step) ([]transport.Result, error) {
	var head []transport.Step
	if take != nil {
		head = append(head, *take)
	}
	files := 0
	for files < len(steps) && steps[files].Write != nil {
		files++
	}
	results, err := d.send(ctx, slices.Concat(head, steps[:files], d.queue, steps[files:]))
	if take != nil && len(results) > 0 {
		if err := leaseError(d.host, results[0]); err != nil {
			return nil, err
		}
	}
	d.changing++
	results = results[min(len(head), len(results)):]
	if len(results) <= files {
		return results, err
	}
	sent := min(len(d.queue), len(results)-files)
	d.queue = nil
	return slices.Delete(results, files, files+sent), err
}

func (d *doer) send(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	d.trips++
	return d.conn.Do(ctx, steps...)
}

// Dial opens a network connection as seen from the host.
func (d *doer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.conn.Dial(ctx, network, addr)
}

// release sends what still waits and gives the lease back, if one was taken. It is best effort: a lease ends by itself.
func (d *doer) release(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	steps := d.queue
	if len(steps) > 0 && (d.leased.IsZero() || d.now().Sub(d.leased) >= leaseRenew) {
		steps = append([]transport.Step{d.who.takeStep(d.dir, "")}, steps...)
		d.leased = d.now()
	}
	if d.leased.IsZero() {
		return
	}
	d.queue, d.leased = nil, time.Time{}
	_, _ = d.send(ctx, append(steps[:len(steps):len(steps)], d.who.releaseStep(d.dir)))
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
