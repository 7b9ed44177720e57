package survey

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// user is who believes authorities: a server or a client.
type user struct {
	trust, lists *File
	// wants: without a list for every authority revoked certificates are let in. everybody: who is refused when a list is missing or over. folder: lists may also lie in a folder that
	// was not read.
	wants, folder bool
	everybody     string
	mode          func(*File) (wrong, hint string)
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
		j.list(&r, l, u.everybody)
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
	j.valid(r, c, "have it replaced by an authority with a new subject, and take it out of the files that name it")
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
	if due, why := pki.Renew(c, pki.RenewPolicy{}, j.f.Now); due {
		r.Renewal = &Renewal{Due: true, At: j.now(), Reason: why}
		if !r.has(Expired) {
			r.find(RenewSoon, why, "declare its successor in the inventory (replaces), then: pgfleet rotate-ca")
		}
	} else {
		r.Renewal = &Renewal{At: renewAt(c), Reason: "two thirds of its life are over; pgfleet does not replace an authority by itself"}
	}
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
		r.find(ListMissing, fmt.Sprintf("%s has no list of it: %s", u.lists.Path, u.everybody), again(r.Host))
	}
}

// list judges a list of revoked certificates in force. everybody says who is refused once it is over.
func (j *judge) list(r *Row, l *x509.RevocationList, everybody string) {
	j.describeList(r, l)
	now, begin, end := j.f.Now, l.ThisUpdate, l.NextUpdate
	at := begin.Add(end.Sub(begin) / 3 * 2).UTC().Truncate(time.Second)
	r.Renewal = &Renewal{Due: !now.Before(at), At: at, Reason: "two thirds of its life are over"}
	switch {
	case !now.Before(end):
		r.find(Expired, fmt.Sprintf("it ended on %s: %s", day(end), everybody), again(r.Host))
	case now.Before(begin):
		r.find(NotYet, fmt.Sprintf("it begins on %s: %s", begin.UTC().Format(time.RFC3339), everybody), "is a clock wrong?")
	case r.Renewal.Due:
		r.find(ListEnding, fmt.Sprintf("two thirds of its life are over; on %s it ends, and then %s", day(end), everybody), "have its authority make a new one, and bring it to the servers")
	}
	a := j.listOwner(l)
	switch {
	case a == nil:
		if !j.unsureOf(pki.FormatSubject(l.Issuer)) && !j.aboveOurs(l) {
			r.find(NotOurs, fmt.Sprintf("no authority of the inventory has signed it; its issuer is %s", r.Issuer), "")
		}
	case a.List != nil && !bytes.Equal(a.List.Raw, l.Raw):
		j.outdated(r, l, a)
	}
}

// listOwner is the authority of the inventory that signed a list, nil when none did.
func (j *judge) listOwner(l *x509.RevocationList) *Authority {
	for i := range j.f.Authorities {
		if a := &j.f.Authorities[i]; a.Cert != nil && pki.BelongsTo(l, a.Cert) == nil {
			return a
		}
	}
	return nil
}

// aboveOurs tells whether a list was signed by one who stands above an authority of the inventory.
func (j *judge) aboveOurs(l *x509.RevocationList) bool {
	for _, a := range j.f.Authorities {
		if slices.ContainsFunc(a.Chain, func(c *x509.Certificate) bool { return pki.BelongsTo(l, c) == nil }) {
			return true
		}
	}
	return false
}

// unsureOf tells whether an authority of that subject could not be looked at.
func (j *judge) unsureOf(subject string) bool {
	for _, a := range j.f.Authorities {
		if a.Cert == nil && a.Subject != "" && sameSubject(a.Subject, subject) {
			return true
		}
	}
	return false
}

// outdated compares a list with another one that its authority has now.
func (j *judge) outdated(r *Row, l *x509.RevocationList, a *Authority) {
	is, newest := l.Number, a.List.Number
	if is == nil || newest == nil || pki.BelongsTo(a.List, a.Cert) != nil {
		return
	}
	if is.Cmp(newest) >= 0 {
		r.find(RecordsDiffer, fmt.Sprintf("it has number %d, the newest of authority %s is %d: was the authority brought back from an older copy?", is, a.Name, newest),
			"have the authority make a list with a higher number that holds everything revoked")
		return
	}
	text := fmt.Sprintf("it has number %d, authority %s has made %d since", is, a.Name, newest)
	var lacks []string
	for _, e := range a.List.RevokedCertificateEntries {
		if !pki.Lists(l, e.SerialNumber) {
			lacks = append(lacks, pki.FormatSerial(e.SerialNumber))
		}
	}
	if len(lacks) > 0 {
		text += "; it lacks the revoked " + some(lacks)
	}
	r.find(RecordsDiffer, text, again(r.Host))
}
