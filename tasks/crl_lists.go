package tasks

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// What a host's tasks know of the lists of revoked certificates of the fleet's authorities.

// unlistedError refuses to go on with a list that lacks a revoked certificate.
type unlistedError struct{ authority, certificate string }

func (e *unlistedError) Error() string {
	return fmt.Sprintf("%v: the newest list of authority %s that is known here does not name %s", ErrRefused, e.authority, e.certificate)
}

// Unwrap gives ErrRefused.
func (e *unlistedError) Unwrap() error { return ErrRefused }

// Unlisted gives the authority whose list lacks a revoked certificate, where an error, and every one that was joined in it, says that; else "".
func Unlisted(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		authority := ""
		for _, e := range joined.Unwrap() {
			if authority = Unlisted(e); authority == "" {
				return ""
			}
		}
		return authority
	}
	var u *unlistedError
	if !errors.As(err, &u) {
		return ""
	}
	return u.authority
}

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

// listOf gives the list of an issuer in a file, nil when there is none or the file is not readable as lists.
func listOf(file []byte, cert *x509.Certificate) *x509.RevocationList {
	lists, err := pki.ParseCRLs(file)
	if err != nil {
		return nil
	}
	var best *x509.RevocationList
	for _, l := range lists {
		if pki.BelongsTo(l, cert) == nil && (best == nil || best.Number == nil || l.Number != nil && l.Number.Cmp(best.Number) > 0) {
			best = l
		}
	}
	return best
}

// newerList says how an authority comes to a list that may follow those in force.
func (h *Host) newerList(ca *x509.Certificate) string {
	if name := h.authorityOf(ca); name != "" && h.Fleet.Authorities[name].Ours() {
		return fmt.Sprintf("was it brought back from an old copy? pgfleet authority restore --records %s takes into it what the fleet has seen; then pgfleet run crl", name)
	}
	return "have that authority make a new list that has all it has revoked"
}

// mayFollow refuses lists that would let a revoked certificate in again: with a number below that of the list in force, or without one that the list
// in force names and that has not ended.
func (a *anchors) mayFollow(h *Host, inForce []byte) error {
	for i, list := range a.lists {
		old := listOf(inForce, a.certs[i])
		if old == nil || bytes.Equal(old.Raw, list.Raw) {
			continue
		}
		title := pki.CertTitle(a.certs[i])
		if old.Number != nil && list.Number.Cmp(old.Number) < 0 {
			return fmt.Errorf("%w: the list of authority %s has number %d, the one in force has %d: an older list would let revoked certificates in again; %s",
				ErrRefused, title, list.Number, old.Number, h.newerList(a.certs[i]))
		}
		for _, e := range pki.Dropped(old, list) {
			if !h.hasEnded(a.certs[i], e) {
				return fmt.Errorf("%w: the list of authority %s lacks the revoked certificate %s, which the one in force names and which has not ended: it would be let in again; %s",
					ErrRefused, title, pki.FormatSerial(e.SerialNumber), h.newerList(a.certs[i]))
			}
		}
	}
	return nil
}
