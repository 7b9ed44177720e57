package tasks

import (
	"crypto/x509"
	"fmt"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// issuing gives an authority as one that signs; before are the lists of those that it replaces.
func (h *Host) issuing(name string, chain []*x509.Certificate, before []*x509.RevocationList) (*issuing, error) {
	crl, err := h.Fleet.CA.CRL(name)
	if err != nil {
		crl = nil // without a list nothing is known to be revoked; trust refuses to work without one
	}
	by := &issuing{name: name, chain: chain, crl: crl, before: before, cannot: h.Fleet.CA.CanSign(name)}
	if a := h.Fleet.Authorities[name]; a.Foreign() {
		by.foreign = &a
		if by.unwanted, err = (desk.Desk{Dir: a.Desk}).Revoked(); err != nil {
			return nil, err
		}
	}
	return by, nil
}

// issuers gives the generations of the issuer that are made and known, oldest first; the error says why there is none.
func (t *certificateTask) issuers(h *Host) ([]*issuing, error) {
	gens := h.Fleet.Generations(t.Issuer)
	chains, missing := h.made(gens)
	var out []*issuing
	var lists []*x509.RevocationList
	for _, g := range gens {
		if chains[g] == nil {
			continue
		}
		by, err := h.issuing(g, chains[g], lists)
		if err != nil {
			return nil, err
		}
		for _, older := range out {
			older.next = append(older.next, by)
		}
		out = append(out, by)
		if by.crl != nil {
			lists = append(lists[:len(lists):len(lists)], by.crl)
		}
	}
	if len(out) == 0 {
		return nil, missing
	}
	return out, nil
}

// issuerFor gives the generation of the issuer that a certificate shall be of: that of the one in force, as long as it is believed; of the newest with only: replace, once
// everybody who meets it believes it. Who has none gets one of the newest that nobody is known not to believe.
func (t *certificateTask) issuerFor(h *Host, now *version) (*issuing, error) {
	all, err := t.issuers(h)
	if err != nil {
		return nil, err
	}
	gens := h.Fleet.Generations(t.Issuer)
	newest := all[len(all)-1]
	if t.Only == "replace" && newest.name != gens[len(gens)-1] {
		_, missing := h.made(gens)
		return nil, missing
	}
	if len(gens) == 1 {
		return newest, t.refuseLeap(h, newest, now)
	}
	var is *issuing
	if leaf := now.leaf(); leaf != nil {
		for _, by := range all {
			if signedBy([]*x509.Certificate{leaf}, by.chain[:1]) {
				is = by
			}
		}
	}
	switch {
	case is == newest:
		return is, nil
	case t.Only == "replace":
		newest.early = h.tooEarly(t.profile(h), newest)
		if newest.early != nil && newest.foreign == nil {
			return nil, newest.early
		}
		return newest, nil
	case is != nil && (len(h.unbelieving(t.profile(h), is.name, is.chain, true)) == 0 || len(h.unbelieving(t.profile(h), newest.name, newest.chain, true)) > 0):
		return is, nil
	case is != nil:
		return newest, nil // it was dropped, and a rollback brought the certificate back
	}
	for len(all) > 1 && len(h.unbelieving(t.profile(h), newest.name, newest.chain, true)) > 0 {
		all = all[:len(all)-1]
		newest = all[len(all)-1]
	}
	return newest, nil
}

// tooEarly says why a host cannot have a certificate of a successor yet, nil when it can.
func (h *Host) tooEarly(profile pki.Profile, next *issuing) error {
	doubt := h.unbelieving(profile, next.name, next.chain, false)
	if len(doubt) == 0 {
		return nil
	}
	if h.Fleet.changing() {
		return fmt.Errorf("who believes %s: %w", next.name, ErrPending)
	}
	if wait := h.awaitedLists(profile, next); wait != nil {
		return wait
	}
	return fmt.Errorf("%w: no certificate of %s for %s before everybody who meets it believes it: %s", ErrRefused, next.name, h.Name, inShort(doubt, 5, "; "))
}

// refuseLeap refuses a server's certificate under a root that clients do not believe, where the one in force is under another: its authority was exchanged in the
// inventory instead of being replaced. (A client's new certificate is tried at its servers.)
func (t *certificateTask) refuseLeap(h *Host, by *issuing, now *version) error {
	leaf := now.leaf()
	if leaf == nil || t.profile(h) != pki.ProfileServer || signedBy([]*x509.Certificate{leaf}, by.chain[:1]) {
		return nil
	}
	doubt := h.unbelieving(pki.ProfileServer, by.name, by.chain, true)
	if len(doubt) == 0 {
		return nil
	}
	return fmt.Errorf("%w: its certificate is of %s, and one of %s would not be accepted by %s: have the inventory declare both, the new one with replaces, and run pgfleet rotate-ca",
		ErrRefused, pki.FormatSubject(leaf.Issuer), pki.CertTitle(by.chain[0]), inShort(doubt, 3, "; "))
}
