package survey

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// user is who believes authorities: a server or a client.
type user struct {
	trust, lists *File
	// wants: without a list for every authority revoked certificates are let in. everybody: who is refused when the lists are missing; below: who when the list of one authority, that of
	// its subject, is missing or over. folder: lists may also lie in a folder that was not read.
	wants, folder    bool
	everybody, below string
	// ours: lists is a file of pgfleet's. theirs is the one that others keep beside it, nil where there can be none. reload is what has a file that is not pgfleet's read again.
	ours   bool
	theirs *File
	reload string
	mode   func(*File) (wrong, hint string)
	// ca and list find what is a server's own.
	ca   func(*Row, *x509.Certificate)
	list func(*Row)
}

// believes adds the rows of the authorities that somebody believes and of their lists.
func (j *judge) believes(base Row, u user) {
	if u.trust.Path != "" {
		r := base
		r.Kind, r.Path = KindAuthority, u.trust.Path
		if !readable(&r, u.trust, again(r.Host)) {
			j.add(r)
		}
	}
	for _, ca := range u.trust.Certs {
		r := base
		r.Kind, r.Path = KindAuthority, u.trust.Path
		j.ca(&r, ca)
		j.listed(&r, ca, u)
		if u.ca != nil {
			u.ca(&r, ca)
		}
		wrongMode(&r, u.mode, u.trust)
		j.add(r)
	}
	if u.lists.Path == "" {
		return
	}
	if r := base; len(u.lists.Lists) == 0 {
		r.Kind, r.Path = KindList, u.lists.Path
		if u.lists.Absent {
			r.find(ListMissing, u.lists.Path+" is not there: "+u.everybody, again(r.Host))
		} else {
			readable(&r, u.lists, again(r.Host))
		}
		j.add(r)
	}
	for _, l := range u.lists.Lists {
		r := base
		r.Kind, r.Path = KindList, u.lists.Path
		j.list(&r, l, u.refused(l.Issuer), func() string { return j.bring(r.Host, l, &u) })
		j.theirs(&r, l, &u)
		if u.list != nil {
			u.list(&r)
		}
		wrongMode(&r, u.mode, u.lists)
		j.add(r)
	}
}

// ca judges the certificate of a CA in force, wherever it is.
func (j *judge) ca(r *Row, c *x509.Certificate) {
	j.describe(r, c)
	const renew = "have the authority above it sign another one, for the same name and key: pgfleet rotate"
	renews := j.renewed(c)
	over := "have it replaced by an authority with a new subject, and take it out of the files that name it"
	if renews {
		over = renew
	}
	j.valid(r, c, over)
	a, _, _ := j.signer(c)
	if why := j.revocation(c, a); why != "" {
		r.find(Revoked, why, "")
	}
	if ours, unsure := j.believable(c); !ours {
		if !unsure {
			r.find(NotOurs, "it is no authority of the inventory", "")
		}
		return
	}
	due, why := pki.Renew(c, pki.RenewPolicy{}, j.f.Now)
	switch {
	case due:
		r.Renewal = &Renewal{Due: true, At: j.now(), Reason: why}
		if r.has(Expired) {
			return
		}
		hint := "declare its successor in the inventory (replaces), then: pgfleet rotate-ca"
		if renews {
			hint = renew
		}
		r.find(RenewSoon, why, hint)
	case renews:
		r.Renewal = &Renewal{At: renewAt(c), Reason: "two thirds of its life are over"}
	default:
		r.Renewal = &Renewal{At: renewAt(c), Reason: "two thirds of its life are over; pgfleet does not renew it, a successor takes its place (pgfleet rotate-ca)"}
	}
}

// renewed tells whether a certificate is that of an intermediate authority that renewals see to: one on a host of the inventory, that ends
// before the one above it: it could not live longer.
func (j *judge) renewed(c *x509.Certificate) bool {
	above := func(ca *x509.Certificate) bool {
		return !ca.NotAfter.After(c.NotAfter) && c.CheckSignatureFrom(ca) == nil
	}
	return !slices.ContainsFunc(j.cas[string(c.RawIssuer)], above) && slices.ContainsFunc(j.f.Authorities, func(a Authority) bool {
		return a.Cert != nil && !a.Root && !a.External && a.File == "" && pki.SameKey(a.Cert.PublicKey, c.PublicKey) && bytes.Equal(a.Cert.RawSubject, c.RawSubject)
	})
}

// listed finds that a CA in force has no list of its own.
func (j *judge) listed(r *Row, ca *x509.Certificate, u user) {
	switch {
	case u.folder:
	case u.lists.Path == "" && u.wants:
		r.find(ListMissing, "no lists of revoked certificates are in force (ssl_crl_file is not set): who was revoked is let in", again(r.Host))
	case u.lists.Path == "" || u.lists.Absent || u.lists.Problem != "": // the row of that file says it
	default:
		for _, l := range u.lists.Lists {
			if pki.BelongsTo(l, ca) == nil {
				return
			}
		}
		r.find(ListMissing, fmt.Sprintf("%s has no list of it: %s", u.lists.Path, u.refused(ca.Subject)), j.mendList(r.Host, ca, &u))
	}
}
