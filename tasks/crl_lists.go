package tasks

import (
	"crypto/x509"

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
// it is not asked: their lists end soon as a rule, and one that has ended keeps a client from every server.
func (h *Host) tells(authorities []string) bool {
	for _, name := range authorities {
		for a, ok := h.Fleet.Authorities[name]; ok; a, ok = h.Fleet.Authorities[a.Issuer] {
			if !a.Ours() {
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

// authorityOf gives the name of the authority with a certificate, "" when the inventory has none.
func (h *Host) authorityOf(cert *x509.Certificate) string {
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		if is, err := h.Fleet.CA.Certificate(name); err == nil && string(is.RawSubject) == string(cert.RawSubject) && pki.SameKey(is.PublicKey, cert.PublicKey) {
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
