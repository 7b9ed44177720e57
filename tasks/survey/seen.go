package survey

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"maps"
	"math/big"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Seen is what a fleet has of one authority, whatever the authority's own records say: each of it carries the authority's signature.
type Seen struct {
	// Certificates that it has signed, by serial number.
	Certificates []Deployed
	// Number is the highest of its lists, nil where none was seen. Revoked are all that any of these lists names; where the certificate itself was not
	// seen, Expires is the authority's own end.
	Number  *big.Int
	Revoked []pki.Revoked
}

// Deployed is a certificate that was found on hosts.
type Deployed struct {
	Cert    *x509.Certificate
	Profile pki.Profile
	// Host that has it, "" where several have.
	Host string
}

// SeenOf gathers what the fleet has of the authority with a certificate. What the authority's own host keeps for it does not count.
func (f *Fleet) SeenOf(ca *x509.Certificate) *Seen {
	out := &Seen{}
	found := map[string]*Deployed{}
	add := func(host string, profile pki.Profile, c *x509.Certificate) {
		if c == nil || c.Equal(ca) || !bytes.Equal(c.RawIssuer, ca.RawSubject) || c.CheckSignatureFrom(ca) != nil {
			return
		}
		if c.IsCA && profile != pki.ProfileCA {
			host, profile = "", pki.ProfileCA // anybody may have it; its key is elsewhere
		}
		if usage := c.ExtKeyUsage; len(usage) == 1 && usage[0] == x509.ExtKeyUsageClientAuth {
			profile = pki.ProfileClient
		} else if len(usage) == 1 && usage[0] == x509.ExtKeyUsageServerAuth {
			profile = pki.ProfileServer
		}
		serial := pki.FormatSerial(c.SerialNumber)
		if d := found[serial]; d == nil {
			found[serial] = &Deployed{Cert: c, Profile: profile, Host: host}
		} else if d.Host != host && profile != pki.ProfileCA {
			d.Host = ""
		}
	}
	lists := map[string]*x509.RevocationList{}
	gather := func(host string, profile pki.Profile, p *Pair, trust, newest *File, versions []Pair, others []File) {
		for _, file := range filesOf(p, trust, newest, versions, others) {
			for _, c := range file.Certs {
				add(host, profile, c)
			}
			for _, l := range file.Lists {
				lists[string(l.Raw)] = l
			}
		}
	}
	for i := range f.Authorities {
		a := &f.Authorities[i]
		for _, c := range append([]*x509.Certificate{a.Cert}, a.Chain...) {
			add(a.Host, pki.ProfileCA, c)
		}
	}
	for i := range f.Servers {
		s := &f.Servers[i]
		gather(s.Host, pki.ProfileServer, &s.Pair, &s.Trust, &s.Lists, s.Versions, s.Others)
		for _, c := range s.Served {
			add(s.Host, pki.ProfileServer, c)
		}
	}
	for i := range f.Clients {
		c := &f.Clients[i]
		gather(c.Host, pki.ProfileClient, &c.Pair, &c.Trust, &c.Lists, c.Versions, c.Others)
	}
	for _, serial := range slices.Sorted(maps.Keys(found)) {
		out.Certificates = append(out.Certificates, *found[serial])
	}
	out.revoked(ca, lists, found)
	return out
}

// filesOf are the files of a server or a client that may hold certificates and lists.
func filesOf(p *Pair, trust, lists *File, versions []Pair, others []File) []*File {
	out := []*File{&p.Cert, trust, lists}
	for i := range versions {
		out = append(out, &versions[i].Cert)
	}
	for i := range others {
		out = append(out, &others[i])
	}
	return out
}

// revoked gathers what the authority's lists name; of two entries for one certificate the earlier counts.
func (s *Seen) revoked(ca *x509.Certificate, lists map[string]*x509.RevocationList, found map[string]*Deployed) {
	entries := map[string]pki.Revoked{}
	for _, l := range lists {
		if pki.BelongsTo(l, ca) != nil {
			continue
		}
		if l.Number != nil && (s.Number == nil || l.Number.Cmp(s.Number) > 0) {
			s.Number = l.Number
		}
		for _, e := range l.RevokedCertificateEntries {
			serial := pki.FormatSerial(e.SerialNumber)
			r := pki.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode, Expires: ca.NotAfter}
			if d := found[serial]; d != nil {
				r.Expires = d.Cert.NotAfter
			}
			if before, ok := entries[serial]; !ok || r.At.Before(before.At) {
				entries[serial] = r
			}
		}
	}
	s.Revoked = slices.SortedFunc(maps.Values(entries), func(a, b pki.Revoked) int { return cmp.Or(a.Serial.Cmp(b.Serial), a.At.Compare(b.At)) })
}
