package desk

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// lists takes a list of revoked certificates.
func (in *intake) lists(p piece) error {
	if p.list == nil {
		return nil
	}
	var named error
	for i := range in.parties {
		a := &in.parties[i]
		for n, cert := range a.Chain {
			if !bytes.Equal(cert.RawSubject, p.list.RawIssuer) {
				continue
			}
			if err := pki.BelongsTo(p.list, cert); err != nil {
				named = err
				continue
			}
			// A list of one who is an authority of the inventory itself belongs on that one's desk.
			if owner := in.owner(cert); owner != nil && owner != a {
				a, n = owner, 0
			}
			return in.list(a, cert, n == 0, p.list)
		}
	}
	if named != nil {
		return named
	}
	return fmt.Errorf("list of %s: no authority of that name signs for this inventory, or its certificate has not come", pki.FormatSubject(p.list.Issuer))
}

// owner is the authority whose own certificate this is.
func (in *intake) owner(cert *x509.Certificate) *Party {
	for i := range in.parties {
		if c := in.parties[i].Chain; len(c) > 0 && c[0].Equal(cert) {
			return &in.parties[i]
		}
	}
	return nil
}

func (in *intake) list(a *Party, cert *x509.Certificate, own bool, list *x509.RevocationList) error {
	var before *x509.RevocationList
	for _, l := range a.Known {
		if bytes.Equal(l.Raw, list.Raw) {
			in.out.Known++
			return nil
		}
		if pki.BelongsTo(l, cert) == nil && (before == nil || before.Number == nil || l.Number != nil && l.Number.Cmp(before.Number) > 0) {
			before = l
		}
	}
	var revoked []pki.Revoked
	if own {
		var err error
		if revoked, err = a.mustList(before); err != nil {
			return err
		}
	}
	if err := pki.CheckCRL(list, cert, before, revoked, in.now.Add(time.Minute)); err != nil {
		return err
	}
	for _, e := range list.Extensions {
		if e.Id.String() == "2.5.29.27" {
			return fmt.Errorf("list of authority %s is a delta: PostgreSQL wants the whole list", pki.CertTitle(cert))
		}
	}
	a.Known = append(a.Known, list)
	in.out.Lists = append(in.out.Lists, FoundList{a.Name, pki.CertTitle(cert), list, a.desk()})
	return nil
}

// mustList gives what a list has to name: what shall be revoked, and of what pgfleet knows to be issued the certificates that the list before names.
func (p *Party) mustList(before *x509.RevocationList) ([]pki.Revoked, error) {
	out, err := p.desk().Revoked()
	if err != nil || before == nil {
		return out, err
	}
	issued, err := p.desk().Issued(nil)
	if err != nil {
		return nil, err
	}
	for _, i := range issued {
		if pki.Lists(before, i.Cert.SerialNumber) {
			out = append(out, pki.Revoked{Serial: i.Cert.SerialNumber, Expires: i.Cert.NotAfter})
		}
	}
	return out, nil
}
