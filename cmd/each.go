package cmd

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
)

// onEach works on hosts, as many at once as forks allows, and gives what decides the exit code. After the first Ctrl-C no further host is
// begun; those count as interrupted.
func onEach(ctx context.Context, sys *System, connect *connectOptions, hosts []*inventory.Host, work func(context.Context, *inventory.Host, *door) events.Kind) (playbooks.Ending, error) {
	if err := roomFor(connect.forks, hosts); err != nil {
		return playbooks.Ending{}, err
	}
	way, err := connect.dialer(sys, nil, hosts)
	if err != nil {
		return playbooks.Ending{}, err
	}
	defer way.close()
	ctx, signals, release := watchInterrupts(ctx, sayTo(sys.Err), func() {})
	defer release()
	var (
		mu  sync.Mutex
		end playbooks.Ending
		all errgroup.Group
	)
	all.SetLimit(connect.forks)
	for _, h := range hosts {
		all.Go(func() error {
			kind := events.Interrupted
			if !signals.came() {
				kind = work(ctx, h, way)
			}
			mu.Lock()
			defer mu.Unlock()
			end.Add(kind)
			return nil
		})
	}
	_ = all.Wait()
	end.Interrupted = end.Interrupted || signals.came()
	return end, nil
}
