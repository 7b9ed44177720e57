package cmd

import (
	"context"
	"errors"
	"os"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/transport"
)

// door opens connections to hosts.
type door struct {
	dial  playbooks.Dialer
	close func()
}

func (o *connectOptions) dialer(sys *System, screen *printers.Screen, hosts ...[]*inventory.Host) (*door, error) {
	return &door{close: func() {}, dial: func(context.Context, *inventory.Host) (transport.Conn, error) {
		return nil, errors.New("no transport yet")
	}}, nil
}

func loadPlaybook(path string) (*playbooks.Playbook, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return playbooks.Parse(path, data)
}

func runPlan(ctx context.Context, plan *playbooks.Plan, opt playbooks.RunOptions) (*playbooks.Outcome, error) {
	return nil, errors.New("no runner yet")
}
