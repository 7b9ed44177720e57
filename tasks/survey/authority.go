package survey

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// authority adds the rows of one CA on its host; of one that is offline or external its certificate, which is here.
func (j *judge) authority(a *Authority) {
	if a.File != "" && a.Cert != nil {
		r := Row{Role: a.role(), Holder: a.Name, Kind: KindAuthority, Path: a.File, InForce: true}
		j.ca(&r, a.Cert)
		j.add(r)
	}
	for _, f := range a.Lists {
		for _, l := range f.Lists {
			r := Row{Role: a.role(), Holder: a.Name, Kind: KindList, Path: f.Path, InForce: true}
			j.list(&r, l, whoever(l), func() string { return a.newList() })
			j.add(r)
		}
	}
	if !a.Seen {
		return
	}
	base := Row{Host: a.Host, Role: a.role(), Holder: a.Name, InForce: true}
	r := base
	r.Kind, r.Path = KindAuthority, a.Dir+"/certs/ca.crt"
	if a.Cert == nil {
		if j.known(a.Subject) {
			r.find(Missing, "the authority is gone, and the fleet has its certificate", "bring it back from its backup: pgfleet authority restore FILE; a new one of that name would be believed by nobody")
		} else {
			r.find(Missing, "the authority has no certificate yet", again(a.Host))
		}
		j.add(r)
		return
	}
	j.ca(&r, a.Cert)
	if a.Public != nil && !pki.SameKey(a.Public, a.Cert.PublicKey) {
		r.find(KeyMismatch, "the key in "+a.Dir+"/keys is another one: it can sign nothing", "bring its key back from its backup")
	}
	if !a.Root {
		if up, _, _ := j.signer(a.Cert); up != nil {
			j.recorded(&r, a.Cert, up)
		}
	}
	if len(a.Differs) > 0 {
		r.find(RecordsDiffer, "index.txt and the records differ: "+some(a.Differs), again(a.Host))
	}
	if len(a.Open) > 0 {
		r.find(WrongMode, strings.Join(a.Open, ", "), again(a.Host))
	}
	j.add(r)
	j.authorityKey(base, a)
	j.authorityList(base, a)
}

// known tells whether a certificate of an authority with a subject, as the inventory writes it, was seen anywhere.
func (j *judge) known(subject string) bool {
	want, err := pki.ParseSubject(subject)
	if err != nil {
		return false
	}
	for _, certs := range j.cas {
		if pki.FormatSubject(certs[0].Subject) == pki.FormatSubject(want) {
			return true
		}
	}
	return false
}

// whoever says who is refused once a list is over, be it in force anywhere or not.
func whoever(l *x509.RevocationList) string {
	return "whoever has it refuses every certificate below " + pki.FormatSubject(l.Issuer)
}

func (a *Authority) role() string {
	if a.Root {
		return "root_ca"
	}
	return "intermediate_ca"
}

func (j *judge) authorityKey(base Row, a *Authority) {
	base.Kind, base.Path = KindKey, a.Dir+"/keys/ca.key"
	if a.InToken {
		base.Path = a.Dir + "/keys/ca.pkcs11"
	}
	switch {
	case a.KeyProblem != "":
		base.find(Unreadable, a.KeyProblem, "bring it back from its backup")
	case a.Public == nil:
		base.find(Missing, "the authority's key is not there: it can sign nothing, and make no list", "bring it back from its backup")
	}
	j.add(base)
}

func (j *judge) authorityList(base Row, a *Authority) {
	base.Kind, base.Path = KindList, a.Dir+"/crl/ca.crl"
	if a.List == nil {
		base.find(ListMissing, "the authority has made no list of revoked certificates", again(a.Host))
		j.add(base)
		return
	}
	if err := pki.BelongsTo(a.List, a.Cert); err != nil {
		j.describeList(&base, a.List)
		base.find(ListMissing, "the authority has no list of its own: "+err.Error(), again(a.Host))
		j.add(base)
		return
	}
	j.list(&base, a.List, whoever(a.List), func() string { return a.newList() })
	var lacks []string
	for _, r := range a.Revoked {
		if (r.Expires.IsZero() || r.Expires.After(j.f.Now)) && !pki.Lists(a.List, r.Serial) {
			lacks = append(lacks, pki.FormatSerial(r.Serial))
		}
	}
	if len(lacks) > 0 {
		base.find(RecordsDiffer, "it lacks the revoked "+some(lacks), again(a.Host))
	}
	j.add(base)
}

// Orphans gives a row for each certificate that an authority has issued, that is neither revoked nor over, and that no host has on which it was looked for: its key may be anywhere. What was issued for
// a host that could not be looked at is left out.
func Orphans(f *Fleet) []Row {
	j := newJudge(f)
	held := map[string]bool{} // by issuer and serial number
	f.eachCertificate(func(c *x509.Certificate) { held[string(c.RawIssuer)+pki.FormatSerial(c.SerialNumber)] = true })
	for i := range f.Authorities {
		a := &f.Authorities[i]
		if !a.Seen || a.Cert == nil {
			continue
		}
		gone := map[string]bool{}
		for _, r := range a.Revoked {
			gone[pki.FormatSerial(r.Serial)] = true
		}
		for _, rec := range a.Records {
			if !gone[rec.Serial] && !held[string(a.Cert.RawSubject)+rec.Serial] && rec.Profile != pki.ProfileCanary && rec.Expires.After(f.Now) {
				j.orphan(a, rec)
			}
		}
	}
	Sort(j.rows)
	return j.rows
}

func (j *judge) orphan(a *Authority, rec Record) {
	looked, declared := j.f.Hosts[rec.Host]
	r := Row{Host: a.Host, Role: a.role(), Holder: a.Name, Kind: KindCertificate, Path: a.Dir + "/issued/" + rec.Serial,
		Subject: rec.Subject, Issuer: pki.FormatSubject(a.Cert.Subject), Serial: rec.Serial}
	j.dates(&r, rec.Expires, rec.Expires)
	r.NotBefore = nil
	hint := "revoke it unless you know where it is"
	switch {
	case rec.Host == "":
		r.find(Orphan, "for whom it was issued is not known, and no host has it", hint)
	case !declared:
		r.find(Orphan, fmt.Sprintf("issued for %s, which is not in the inventory", rec.Host), hint)
	case looked:
		r.find(Orphan, fmt.Sprintf("issued for %s, which does not have it any more", rec.Host), hint)
	default:
		return
	}
	j.add(r)
}
