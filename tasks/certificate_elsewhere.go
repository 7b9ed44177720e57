package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// Certificates that somebody else signs. A run makes key and request, leaves the request on the authority's desk, and waits; a later one finds the answer there and goes
// on with the version folder that the key is in. Nothing is switched before the answer is there.

// planElsewhere finds how far a plan has come: its request is to be made, it waits, or the answer is there. An answer also makes a plan of what is not due: somebody
// has asked for it (force) before.
func (t *certificateTask) planElsewhere(host string, p *certificatePlan, now time.Time) error {
	by := p.by
	p.Elsewhere = true
	ask := func(v *version) (*x509.Certificate, bool, error) {
		pub, err := x509.ParsePKIXPublicKey(v.Key.spki())
		if err != nil {
			return nil, false, nil // what is wrong with it is told where it is used
		}
		return answered(*by.foreign, by.chain[0], host, pub, p.Template, p.Current.leaf(), now)
	}
	if p.Why != "" && (!p.Issue || p.Keep) {
		return nil
	}
	if come, err := p.come(by, ask); come || err != nil || p.Waits || p.Why == "" {
		return err
	}
	v := p.version(p.Gen)
	if v == nil && p.KeyOf != "" {
		v = p.Current
	}
	if v == nil {
		p.Ask = true
		return nil
	}
	cert, waits, err := ask(v)
	p.Ask, p.Waits = cert == nil && !waits, cert == nil && waits
	return err
}

// come looks for an answer for one of the keys that wait for one, and for those that have none yet.
func (p *certificatePlan) come(by *issuing, ask func(*version) (*x509.Certificate, bool, error)) (bool, error) {
	other := p.Issue && p.KeyOf == "" && p.version(p.Gen) == nil // a new key is wanted
	for i := len(p.Versions) - 1; i >= 0; i-- {
		v := &p.Versions[i]
		if !v.pending() || by.knownToOthers(v, p.Versions) || other && p.Current != nil && bytes.Equal(v.Key.spki(), p.Current.Key.spki()) {
			continue
		}
		cert, waits, err := ask(v)
		switch {
		case err != nil:
			return false, err
		case cert != nil:
			if p.Why == "" {
				p.Why = "the certificate that was asked for has come"
			}
			p.Issue, p.Gen, p.KeyOf, p.Fresh, p.KeyNote, p.Waits = true, v.Gen, "", true, "key: the one that waits for it", false
			return true, nil
		case waits:
			p.Waits, p.Held = true, append(p.Held, v.Gen)
		}
	}
	return false, nil
}

// holdForNext holds the keys for which a successor of the authority was asked: who is not replacing it is not to take away what the answer is for.
func (p *certificatePlan) holdForNext(host string) error {
	for _, by := range p.by.next {
		if by.foreign == nil {
			continue
		}
		at := desk.Desk{Dir: by.foreign.Desk}
		for i := range p.Versions {
			v := &p.Versions[i]
			pub, err := x509.ParsePKIXPublicKey(v.Key.spki())
			if err != nil || !v.pending() {
				continue
			}
			r, err := at.Waiting(pub)
			if err != nil {
				return err
			}
			come, err := at.Issued(pub)
			if err != nil {
				return err
			}
			if r != nil && r.Host == host || len(come) > 0 && come[len(come)-1].Host == host {
				p.Held = append(p.Held, v.Gen)
			}
		}
	}
	return nil
}

// waiting gives what a plan waits for, nil when it does not.
func (p *certificatePlan) waiting(h *Host) *WaitingError {
	if !p.Waits {
		return nil
	}
	return &WaitingError{Authority: p.by.name, What: []string{wanted(p.Template, h.Name)}, Soft: p.serves(h.Fleet.Now)}
}

// serves tells whether the certificate in force can go on to be used.
func (p *certificatePlan) serves(now time.Time) bool {
	v, by := p.Current, p.by
	return v.complete() && !v.Key.Encrypted && now.Before(v.leaf().NotAfter) && (by.crl == nil || !pki.Lists(by.crl, v.leaf().SerialNumber))
}

// asking adds the requests of plans to a change, which may be nil: they are made first.
func (t *certificateTask) asking(h *Host, change *Change, plans []*certificatePlan, touches ...string) *Change {
	if len(plans) == 0 {
		return change
	}
	if change == nil {
		change = &Change{}
	}
	titles := map[string][]string{}
	for _, p := range plans {
		titles[p.by.name] = append(titles[p.by.name], p.Title)
		change.Diff += p.diff()
	}
	for _, name := range sortedKeys(titles) {
		summary := "ask authority " + name + " for a certificate of " + strings.Join(titles[name], ", ")
		change.Summary = strings.TrimPrefix(change.Summary+"; "+summary, "; ")
	}
	for _, key := range touches {
		if !slices.Contains(change.Touches, key) {
			change.Touches = append(change.Touches, key)
		}
	}
	rest, then := change.Apply, change.Then
	change.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		// Each of them ends in a WaitingError, which the next check gives.
		if _, err := t.issueAll(ctx, do, h, plans); err != nil && !onlyWaiting(err) {
			return nil, err
		}
		if rest == nil {
			return nil, nil
		}
		return rest(ctx, do)
	}
	asked := t.applied(plans)
	change.Then = func(results []transport.Result) error {
		if then != nil {
			if err := then(results); err != nil {
				return err
			}
		}
		return asked(results)
	}
	change.Foresee = nil
	return change
}
