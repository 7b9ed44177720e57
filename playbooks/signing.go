package playbooks

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// access is what the runner takes from package tasks besides the tasks of the plan.
type access struct {
	authorities newAuthorities
	// authority and server are the probes with which hosts that others depend on are looked at.
	authority func(pki.Authority) transport.Step
	server    func(*tasks.Host) transport.Step
}

// newAuthorities makes the live access to the CAs.
type newAuthorities func(declared map[string]pki.Authority, views func(host string) *tasks.View,
	do func(ctx context.Context, host string, steps ...transport.Step) ([]transport.Result, error), now func() time.Time) tasks.Authorities

// signing is the authorities as tasks use them in a run: a host that waits for a signature holds no slot, and clocks that are too far apart
// stop it.
type signing struct {
	tasks.Authorities
	r *runner
}

// Issue signs as the wrapped authorities do, without holding the caller's slot meanwhile.
func (s signing) Issue(ctx context.Context, name string, req tasks.IssueRequest) (*x509.Certificate, error) {
	for _, host := range []string{s.r.fleet.Authorities[name].Host, req.Host} {
		if h := s.r.hosts[host]; h != nil && h.skew.Abs() > pki.Backdate {
			return nil, fmt.Errorf("%w: the clock of %s is %s this machine's, more than the %s by which certificates are backdated; set it right first",
				tasks.ErrRefused, host, offBy(h.skew), pki.Backdate)
		}
	}
	var cert *x509.Certificate
	var err error
	parked(ctx, func() { cert, err = s.Authorities.Issue(ctx, name, req) })
	s.r.warnings()
	if err == nil {
		play := ""
		if h := s.r.hosts[req.Host]; h != nil && h.at != nil {
			play = h.at.Name
		}
		s.r.tell.tell(events.Event{Type: events.Certificate, Kind: events.OK, Play: play, Host: req.Host, Summary: "signed by " + name, Data: map[string]any{
			"authority": name, "subject": cert.Subject.String(), "serial": fmt.Sprintf("%X", cert.SerialNumber),
			"not_before": cert.NotBefore.UTC(), "not_after": cert.NotAfter.UTC(), "profile": string(req.Template.Profile)}})
	}
	return cert, err
}

// atAuthority runs steps on the host of an authority, for whichever host asked. What goes wrong with its connection is that host's ending, and
// for the one who asked a dependencyError.
func (r *runner) atAuthority(ctx context.Context, host string, steps ...transport.Step) ([]transport.Result, error) {
	h := r.hosts[host]
	if h == nil || h.doer == nil {
		return nil, &dependencyError{host: host, reason: r.whyNot(host)}
	}
	before := h.doer.changed()
	results, err := h.doer.Do(ctx, steps...)
	if err != nil && ctx.Err() == nil {
		r.fail(ctx, h, "sign for another host", err)
		return results, &dependencyError{host: host, reason: r.whyNot(host)}
	}
	if h.doer.changed() > before {
		h.signed.Store(true)
	}
	return results, err
}

// whyNot says why a host that others depend on cannot be used.
func (r *runner) whyNot(host string) string {
	h := r.hosts[host]
	if h == nil {
		return "it is not part of this run"
	}
	if e := h.ending(); e != nil {
		return e.String()
	}
	return "it is not connected"
}

// consequence gives the reason of a refusal that is one of an authority's host having ended early: it has made no list that names what was revoked.
func (r *runner) consequence(err error) error {
	host := r.fleet.Authorities[tasks.Unlisted(err)].Host
	if h := r.hosts[host]; h != nil && h.ending() != nil {
		return &dependencyError{host: host, reason: r.whyNot(host)}
	}
	return err
}

// dependencyError is a host that another one depends on and that cannot be used.
type dependencyError struct{ host, reason string }

func (e *dependencyError) Error() string {
	return fmt.Sprintf("depends on %s, but %s", e.host, e.reason)
}

// lackError is what a task needs and nothing of the run makes.
type lackError struct{ err error }

func (e *lackError) Error() string {
	return "something that this needs is not there yet: " + e.err.Error()
}

func (e *lackError) Unwrap() error { return e.err }

// Hint says who makes it.
func (e *lackError) Hint() string {
	return "the playbook that sets the fleet up makes it (pgfleet run mtls); where it was there before, pgfleet certs says what is missing"
}
