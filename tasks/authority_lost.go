package tasks

import (
	"crypto/x509"
	"fmt"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// An authority whose folder is gone looks like one that was never made. Another one of its name would have another key, and nobody would accept what it signs; and it would
// be in the way of the backup.

// refuseAnew refuses to make an authority that somebody who was seen knows already, with a key that is not on its host. A key in a token is not known before the
// token is opened, nor is one that has a passphrase: they may still be the right ones.
func refuseAnew(h *Host, a pki.Authority, s *AuthorityState) error {
	if s.Certificate != nil || s.PublicKey == nil && (s.Encrypted || s.Token != "" || a.Key != "") {
		return nil
	}
	subject, err := pki.ParseSubject(a.Subject)
	if err != nil {
		return nil // told elsewhere
	}
	name := pki.FormatSubject(subject)
	for _, host := range sortedKeys(h.Fleet.Hosts) {
		for _, b := range h.Fleet.Hosts[host].knows() {
			for _, ca := range b.certs {
				if ca.IsCA && pki.FormatSubject(ca.Subject) == name && (s.PublicKey == nil || !pki.SameKey(s.PublicKey, ca.PublicKey)) {
					return fmt.Errorf("%w: it is gone from %s, and %s (%s) has the certificate of %s already, which another one of that name would not replace: "+
						"bring it back from its backup (pgfleet authority restore FILE), or have one with a new subject replace it (pgfleet rotate-ca)", ErrRefused, a.DirOrDefault(), host, b.who, name)
				}
			}
		}
	}
	return nil
}

// knows gives the authorities that a host's clusters and identities believe, and those above the certificates of its clusters; nothing of what was not seen.
func (h *Host) knows() []belief {
	out, _ := h.clientBeliefs()
	if !h.HasRole("db_server") {
		return out
	}
	clusters, err := Clusters(h)
	if err != nil {
		return out
	}
	for _, c := range clusters {
		b := belief{who: "cluster " + c.ID, certs: caFileCertificates(c)}
		for _, der := range certificatesDER(c.Files[c.upcomingPath("ssl_cert_file")].Bytes) {
			if cert, err := x509.ParseCertificate(der); err == nil {
				b.certs = append(b.certs, cert)
			}
		}
		out = append(out, b)
	}
	return out
}
