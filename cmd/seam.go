package cmd

import (
	"context"
	"errors"

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

type hostKey struct{ printers.HostKey }

func scanKeys(ctx context.Context, h *inventory.Host) (keys []hostKey, address string, err error) {
	return nil, "", errors.New("no transport yet")
}

func recordKeys(h *inventory.Host, keys []hostKey) (path string, err error) {
	return "", errors.New("no transport yet")
}
