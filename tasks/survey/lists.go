package survey

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// list judges a list of revoked certificates in force. refused says who is refused once it is over, bring what has a newer one come.
func (j *judge) list(r *Row, l *x509.RevocationList, refused string, bring func() string) {
	j.describeList(r, l)
	now, begin, end := j.f.Now, l.ThisUpdate, l.NextUpdate
	if now.Before(begin) {
		r.find(NotYet, fmt.Sprintf("it begins on %s: %s", begin.UTC().Format(time.RFC3339), refused), "is a clock wrong?")
	}
	if !end.IsZero() {
		at := begin.Add(end.Sub(begin) / 3 * 2).UTC().Truncate(time.Second)
		r.Renewal = &Renewal{Due: !now.Before(at), At: at, Reason: "two thirds of its life are over"}
		switch {
		case !now.Before(end):
			r.find(Expired, fmt.Sprintf("it ended on %s: %s", day(end), refused), bring())
		case r.Renewal.Due:
			r.find(ListEnding, fmt.Sprintf("two thirds of its life are over; on %s it ends, and then %s", day(end), refused), bring())
		}
	}
	switch a, newest := j.keeper(l); {
	case a == nil:
		if !j.unsureOf(pki.FormatSubject(l.Issuer)) {
			r.find(NotOurs, fmt.Sprintf("no authority of the inventory has signed it; its issuer is %s", r.Issuer), "")
		}
	case newest != nil && !bytes.Equal(newest.Raw, l.Raw):
		j.outdated(r, l, a, newest)
	}
}

// keeper is the authority of the inventory that signed a list, or in whose file the certificate stands that did, with the newest list of that certificate that is known. nil when there is none.
func (j *judge) keeper(l *x509.RevocationList) (*Authority, *x509.RevocationList) {
	for i := range j.f.Authorities {
		if a := &j.f.Authorities[i]; a.Cert != nil && pki.BelongsTo(l, a.Cert) == nil {
			if a.List == nil || pki.BelongsTo(a.List, a.Cert) != nil {
				return a, nil
			}
			return a, a.List
		}
	}
	for i := range j.f.Authorities {
		a := &j.f.Authorities[i]
		for _, c := range a.Chain {
			if pki.BelongsTo(l, c) == nil {
				return a, ofIssuer(c, a.Lists)
			}
		}
	}
	return nil, nil
}

// ofIssuer gives the list with the highest number that a certificate signed, nil when there is none.
func ofIssuer(ca *x509.Certificate, files []File) (newest *x509.RevocationList) {
	for _, f := range files {
		for _, l := range f.Lists {
			if pki.BelongsTo(l, ca) == nil && (newest == nil || newer(l, newest)) {
				newest = l
			}
		}
	}
	return newest
}

// newer tells whether a list has a higher number than another one.
func newer(l, than *x509.RevocationList) bool {
	return l.Number != nil && than.Number != nil && l.Number.Cmp(than.Number) > 0
}

// usable tells whether a list can be brought: it has begun and not ended.
func (j *judge) usable(l *x509.RevocationList) bool {
	return !l.ThisUpdate.After(j.f.Now) && (l.NextUpdate.IsZero() || l.NextUpdate.After(j.f.Now))
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
func (j *judge) outdated(r *Row, l *x509.RevocationList, a *Authority, newest *x509.RevocationList) {
	if l.Number == nil || newest.Number == nil {
		return
	}
	switch {
	case newer(newest, l):
		r.find(RecordsDiffer, fmt.Sprintf("it has number %d, authority %s has made %d since", l.Number, a.Name, newest.Number)+lacksOf(l, newest), crl(r.Host))
	case a.File != "":
		r.find(RecordsDiffer, fmt.Sprintf("it has number %d, the newest of authority %s that is known here is %d", l.Number, a.Name, newest.Number),
			"take it in, so that other hosts get it (pgfleet authority answer FILE), then: pgfleet run crl")
	default:
		r.find(RecordsDiffer, fmt.Sprintf("it has number %d, the newest of authority %s is %d: was the authority brought back from an older copy?", l.Number, a.Name, newest.Number),
			"have the authority make a list with a higher number that holds everything revoked")
	}
}

// lacksOf says which revoked certificates of a newer list a list does not have.
func lacksOf(l, newest *x509.RevocationList) string {
	var lacks []string
	for _, e := range newest.RevokedCertificateEntries {
		if !pki.Lists(l, e.SerialNumber) {
			lacks = append(lacks, pki.FormatSerial(e.SerialNumber))
		}
	}
	if len(lacks) == 0 {
		return ""
	}
	return "; it lacks the revoked " + some(lacks)
}

// theirs finds that others keep a newer list beside the one in force.
func (j *judge) theirs(r *Row, l *x509.RevocationList, u *user) {
	if newest := j.newerOfTheirs(l, u); newest != nil {
		r.find(RecordsDiffer, fmt.Sprintf("it has number %d, %s has %d since", l.Number, u.theirs.Path, newest.Number)+lacksOf(l, newest), crl(r.Host))
	}
}

// newerOfTheirs gives a list that pgfleet run crl takes from the file that others keep; nil: there is none newer. Of an authority of the inventory it takes what that has.
func (j *judge) newerOfTheirs(l *x509.RevocationList, u *user) *x509.RevocationList {
	if a, _ := j.keeper(l); a != nil || u.theirs == nil || !u.ours {
		return nil
	}
	for _, ca := range u.trust.Certs {
		if pki.BelongsTo(l, ca) == nil {
			if theirs := ofIssuer(ca, []File{*u.theirs}); theirs != nil && newer(theirs, l) && j.usable(theirs) {
				return theirs
			}
		}
	}
	return nil
}

// bring says how somebody comes to a newer list than one in force.
func (j *judge) bring(host string, l *x509.RevocationList, u *user) string {
	a, newest := j.keeper(l)
	switch {
	case !u.ours || a == nil && u.theirs == nil:
		return u.mend(host)
	case a != nil && newest != nil && newer(newest, l) && j.usable(newest), j.newerOfTheirs(l, u) != nil:
		return crl(host)
	case a != nil:
		return a.newList()
	case u.theirs.Path == "":
		return fmt.Sprintf("have ssl_crl_file in postgresql.conf on %s name a file with its newest list, then: pgfleet run crl -l %s", host, host)
	}
	return fmt.Sprintf("bring its newest list to %s on %s, then: pgfleet run crl -l %s", u.theirs.Path, host, host)
}

// newList says how a new list of an authority of the inventory comes into force.
func (a *Authority) newList() string {
	if a.File != "" {
		return "have it make a new one and take that in (pgfleet authority answer FILE), then: pgfleet run crl"
	}
	return "have a new one made, and bring it: pgfleet run crl"
}

// mend says what to do about lists in a file that is not pgfleet's; of one that is, what mends most things.
func (u *user) mend(host string) string {
	if u.ours {
		return again(host)
	}
	return fmt.Sprintf("bring its newest list to %s on %s", u.lists.Path, host) + u.reload
}

// mendList says what to do where an authority in force has no list.
func (j *judge) mendList(host string, ca *x509.Certificate, u *user) string {
	if ours, unsure := j.believable(ca); ours || unsure || u.theirs != nil {
		return u.mend(host)
	}
	return "declare it in the inventory (external, and its lists: crl), then: pgfleet run mtls -l " + host
}

// refused says who is refused when the list of one authority is missing or over.
func (u *user) refused(subject pkix.Name) string {
	return fmt.Sprintf(u.below, pki.FormatSubject(subject))
}

// crl is what brings a newer list that is there.
func crl(host string) string { return "pgfleet run crl -l " + host + " brings it into force" }
