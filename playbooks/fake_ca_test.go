package playbooks

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// noAuthorities has no CA that could be reached: everything is pending.
type noAuthorities struct{}

func withoutAuthorities(map[string]pki.Authority, func(string) *tasks.View,
	func(context.Context, string, ...transport.Step) ([]transport.Result, error), func() time.Time) tasks.Authorities {
	return noAuthorities{}
}

func (noAuthorities) Certificate(name string) (*x509.Certificate, error) { return nil, pending(name) }

func (noAuthorities) Chain(name string) ([]*x509.Certificate, error) { return nil, pending(name) }

func (noAuthorities) CRL(name string) (*x509.RevocationList, error) { return nil, pending(name) }

func (noAuthorities) Canaries(name string) (good, revoked *x509.Certificate, err error) {
	return nil, nil, pending(name)
}

func (noAuthorities) CanSign(name string) error { return pending(name) }

func (noAuthorities) Issue(_ context.Context, name string, _ tasks.IssueRequest) (*x509.Certificate, error) {
	return nil, pending(name)
}

func pending(name string) error { return fmt.Errorf("authority %s: %w", name, tasks.ErrPending) }
