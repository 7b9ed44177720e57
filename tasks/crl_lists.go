package tasks

import (
	"crypto/x509"
	"math/big"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// What a host's tasks know of the lists of revoked certificates of the fleet's authorities.

// listsInUse tells whether a service of one of a client's identities names a list.
func (h *Host) listsInUse() bool {
	for _, id := range h.Identities {
		if st, err := stateOf(h, id); err == nil && st.filesNow().CRL != "" {
			return true
		}
	}
	return false
}

// tells tells whether a list of these authorities, or of one above them, names more than the authority's own test certificate. Of authorities that are not ours
// it is not asked, unless pgfleet has had something revoked there: their lists end soon as a rule, and one that has ended keeps a client from every server.
func (h *Host) tells(authorities []string) bool {
	for _, name := range authorities {
		for a, ok := h.Fleet.Authorities[name]; ok; a, ok = h.Fleet.Authorities[a.Issuer] {
			if a.Foreign() {
				if h.foreignTells(a) {
					return true
				}
				continue
			}
			list, err := h.Fleet.CA.CRL(a.Name)
			if err != nil {
				continue
			}
			_, canary, err := h.Fleet.CA.Canaries(a.Name)
			for _, e := range list.RevokedCertificateEntries {
				if err != nil || e.SerialNumber.Cmp(canary.SerialNumber) != 0 {
					return true
				}
			}
		}
	}
	return false
}

// foreignTells tells whether the list of a foreign authority names what it was asked to revoke, and there is a list for each of those above it, too.
func (h *Host) foreignTells(a pki.Authority) bool {
	unwanted, err := desk.Desk{Dir: a.Desk}.Revoked()
	if err != nil || len(unwanted) == 0 {
		return false
	}
	chain, err := h.Fleet.CA.Chain(a.Name)
	if err != nil {
		return false
	}
	for i, cert := range chain {
		list, err := foreignList(a, cert)
		if err != nil && (i == 0 || a.External != "") {
			return false
		}
		if i == 0 && !slices.ContainsFunc(unwanted, func(r pki.Revoked) bool { return pki.Lists(list, r.Serial) }) {
			return false
		}
	}
	return true
}

// authorityOf gives the name of the authority with a certificate, "" when the inventory has none.
func (h *Host) authorityOf(cert *x509.Certificate) string {
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		if is, err := h.Fleet.CA.Certificate(name); err == nil && string(is.RawSubject) == string(cert.RawSubject) && pki.SameKey(is.PublicKey, cert.PublicKey) {
			return name
		}
	}
	return ""
}

// keeperOf gives the authority that a list of a certificate's comes from: its own, or the external one in whose file it stands. "" when there is none.
func (h *Host) keeperOf(cert *x509.Certificate) string {
	if name := h.authorityOf(cert); name != "" {
		return name
	}
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		if chain, err := h.Fleet.CA.Chain(name); err == nil && h.Fleet.Authorities[name].External != "" && containsCert(chain, cert) {
			return name
		}
	}
	return ""
}

// hasEnded tells whether a certificate on a list has ended: as the authority's records have it, else because it was revoked longer ago than its authority's
// certificates live.
func (h *Host) hasEnded(ca *x509.Certificate, e x509.RevocationListEntry) bool {
	name := h.authorityOf(ca)
	a := h.Fleet.Authorities[name]
	if a.Foreign() {
		return foreignEnded(a, e.SerialNumber, h.Fleet.Now)
	}
	if host := h.Fleet.Hosts[a.Host]; host != nil && a.Ours() {
		if r, err := host.View.Get(KeyAuthority(name)); err == nil {
			if state, err := ParseAuthority(r); err == nil {
				for _, known := range state.Revoked {
					if known.Serial.Cmp(e.SerialNumber) == 0 && !known.Expires.IsZero() {
						return known.Expires.Before(h.Fleet.Now)
					}
				}
			}
		}
	}
	return e.RevocationTime.Add(a.LeafLife()).Before(h.Fleet.Now)
}

// foreignEnded tells whether a certificate of a foreign authority has ended. Of those that were not issued to this fleet nothing is known: their authority may take
// them off its list when it likes.
func foreignEnded(a pki.Authority, serial *big.Int, now time.Time) bool {
	issued, err := desk.Desk{Dir: a.Desk}.Numbered(serial)
	return err == nil && !slices.ContainsFunc(issued, func(i desk.Answer) bool { return i.Cert.NotAfter.After(now) })
}
