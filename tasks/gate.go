package tasks

import (
	"context"
	"slices"
	"sync"
)

// gateWidth is how many hosts may test one server at the same time.
const gateWidth = 4

// Gate lets few hosts at a time test a server. It is safe for concurrent use.
type Gate struct {
	mu    sync.Mutex
	slots map[string]chan struct{}
}

// Enter waits for a place at every one of the servers and gives the function that leaves them all. Places are taken in name order, so
// two hosts never wait for each other. The error is the context's.
func (g *Gate) Enter(ctx context.Context, servers ...string) (leave func(), err error) {
	names := slices.Clone(servers)
	slices.Sort(names)
	var taken []chan struct{}
	leave = func() {
		for _, slot := range taken {
			<-slot
		}
	}
	for _, name := range slices.Compact(names) {
		slot := g.slot(name)
		select {
		case slot <- struct{}{}:
			taken = append(taken, slot)
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

func (g *Gate) slot(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.slots == nil {
		g.slots = map[string]chan struct{}{}
	}
	if g.slots[name] == nil {
		g.slots[name] = make(chan struct{}, gateWidth)
	}
	return g.slots[name]
}
