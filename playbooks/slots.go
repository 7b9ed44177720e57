package playbooks

import (
	"context"
	"sync"
)

// slots is how many hosts are worked on at once.
type slots chan struct{}

// slot is one host's place.
type slot struct {
	pool slots

	mu   sync.Mutex
	held bool
	// waits counts signatures that the host waits for; a host with several users asks for several at once.
	waits int
}

type slotKey struct{}

// take waits for a place; false when stop is closed or the context ends first.
func (p slots) take(ctx context.Context, stop <-chan struct{}) (*slot, bool) {
	if stopped(ctx, stop) {
		return nil, false
	}
	select {
	case p <- struct{}{}:
		return &slot{pool: p, held: true}, true
	case <-stop:
	case <-ctx.Done():
	}
	return nil, false
}

// give returns the place, if it is held.
func (s *slot) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveLocked()
}

func (s *slot) giveLocked() {
	if s.held {
		s.held = false
		<-s.pool
	}
}

// with puts the place into a context, so that a wait for a signature can give it up.
func (s *slot) with(ctx context.Context) context.Context { return context.WithValue(ctx, slotKey{}, s) }

// parked runs wait without the place that ctx carries, and takes it again after the last of the waits that go on at the same time. If the context ends
// first the place stays given up.
func parked(ctx context.Context, wait func()) {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || !s.park() {
		wait()
		return
	}
	wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits--; s.waits > 0 {
		return
	}
	select {
	case s.pool <- struct{}{}:
		s.held = true
	case <-ctx.Done():
	}
}

// park gives the place up for a wait; false when there was none.
func (s *slot) park() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held && s.waits == 0 {
		return false
	}
	s.waits++
	s.giveLocked()
	return true
}

// stopped tells whether no new step may begin.
func stopped(ctx context.Context, stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}
