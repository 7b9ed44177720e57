package playbooks

import (
	"context"
	"sync"
	"testing"
)

// TestParkedTogether: a host that waits for several signatures at once gives its one place up once, and has it again when all are there.
func TestParkedTogether(t *testing.T) {
	pool := make(slots, 1)
	s, ok := pool.take(t.Context(), nil)
	if !ok {
		t.Fatal("no place")
	}
	ctx := s.with(context.Background())
	var waiting, done sync.WaitGroup
	release := make(chan struct{})
	for range 5 {
		waiting.Add(1)
		done.Go(func() {
			parked(ctx, func() { waiting.Done(); <-release })
		})
	}
	waiting.Wait()
	other, ok := pool.take(t.Context(), nil)
	if !ok {
		t.Fatal("the place was not given up")
	}
	close(release)
	other.give()
	done.Wait()
	if len(pool) != 1 || !s.held {
		t.Errorf("%d places taken, held %t; want 1, true", len(pool), s.held)
	}
	s.give()
	s.give()
	if len(pool) != 0 {
		t.Errorf("%d places taken after the end, want 0", len(pool))
	}
}

// TestParkedWithoutPlace: when the context has ended the place stays given up, and what follows waits without one.
func TestParkedWithoutPlace(t *testing.T) {
	pool := make(slots, 1)
	s, _ := pool.take(t.Context(), nil)
	ctx, cancel := context.WithCancel(s.with(context.Background()))
	parked(ctx, func() {
		if _, ok := pool.take(t.Context(), nil); !ok {
			t.Error("the place was not given up")
		}
		cancel()
	})
	ran := false
	parked(ctx, func() { ran = true })
	if s.held || !ran {
		t.Errorf("held %t, ran %t; want false, true", s.held, ran)
	}
}

// A run that nobody tells how many hosts to work on at once has places all the same.
func TestDefaultForks(t *testing.T) {
	w := newWorld(t)
	w.opt.Forks = 0
	r := newRunner(w.plan("plays: [{hosts: db1, tasks: [put: {key: a, value: x}]}]", PlanOptions{}), w.opt, w.ca)
	if cap(r.slots) != defaultForks {
		t.Errorf("%d places, want %d", cap(r.slots), defaultForks)
	}
}
