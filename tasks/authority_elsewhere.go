package tasks

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// An intermediate whose certificate somebody else signs: its key and request are made on its host, the request waits on the desk of the authority above, and a later run
// installs the answer.

// planElsewhere changes what is to be done to the certificate into asking for it, or waiting.
func (p *authorityPlan) planElsewhere(h *Host) error {
	if p.a.IsRoot() {
		return nil
	}
	up := h.Fleet.Authorities[p.a.Issuer]
	chain, err := h.Fleet.CA.Chain(up.Name)
	if t, bad := authorityTemplate(h.Fleet.Authorities, p.a); err == nil && bad == nil && p.certificate {
		if err := pki.Allows(chain, t); err != nil {
			return fmt.Errorf("%w: nothing that it signs below authority %s would be accepted: %w", ErrRefused, up.Name, err)
		}
	}
	if !up.Foreign() {
		// The one above is ours and waits itself: until then only the key can be made.
		if wait := AsWaiting(err); wait != nil && p.certificate {
			p.later(wait)
		}
		return nil
	}
	if err != nil && AsWaiting(err) == nil {
		return err
	}
	if p.certificate && !p.due && p.state.Certificate != nil {
		return nil // the chain above it
	}
	t, err := authorityTemplate(h.Fleet.Authorities, p.a)
	if err != nil {
		return err
	}
	var waits bool
	if p.state.PublicKey != nil {
		come, waiting, err := p.answer(h, up, chain, t)
		switch {
		case err != nil:
			return err
		case come && !p.certificate:
			p.want("install the certificate that was asked for", &p.certificate, &p.due)
			return nil
		case come:
			return nil
		}
		waits = waiting
	}
	if !p.certificate && !waits {
		return nil
	}
	if p.certificate && !waits {
		p.ask, p.look = true, true
	}
	p.later(&WaitingError{Authority: up.Name, What: []string{wanted(t, h.Name)}})
	if p.ask {
		p.want("ask "+up.Name+" for its certificate", &p.look)
	}
	return nil
}

// answer tells whether a certificate has come that is newer than the one in force, or was asked for.
func (p *authorityPlan) answer(h *Host, up pki.Authority, chain []*x509.Certificate, t pki.Template) (come, waits bool, err error) {
	if len(chain) == 0 {
		r, err := desk.Desk{Dir: up.Desk}.Waiting(p.state.PublicKey)
		return false, err == nil && r != nil && r.Host == h.Name && r.Wants(t), err
	}
	cert, waits, err := answered(up, chain[0], h.Name, p.state.PublicKey, t, p.state.Certificate, h.Fleet.Now)
	return cert != nil, waits, err
}

// later takes the certificate out of what is to be done.
func (p *authorityPlan) later(wait *WaitingError) {
	if p.state.Certificate != nil {
		wait = wait.softly()
	}
	if p.certificate { // its reason came last
		p.reasons = p.reasons[:len(p.reasons)-1]
	}
	p.waits, p.certificate, p.due = wait, false, false
}

// request puts the request on the desk.
func (p *authorityPlan) request(ctx context.Context, h *Host, made *madeKeys) error {
	if !p.ask {
		return nil
	}
	t, err := authorityTemplate(h.Fleet.Authorities, p.a)
	if err != nil {
		return err
	}
	_, err = h.Fleet.CA.Issue(ctx, p.a.Issuer, IssueRequest{CSR: made.csr, Template: t, Host: h.Name, Fresh: true, Not: p.state.Certificate})
	if AsWaiting(err) != nil {
		return nil // as expected; the next check says so
	}
	return err
}

// askedSubject is what a request made on the host shall name, "" when its key is all that counts.
func (p *authorityPlan) askedSubject() string {
	subject, err := pki.ParseSubject(p.a.Subject)
	if !p.ask || err != nil {
		return ""
	}
	return pki.RequestSubject(subject)
}
