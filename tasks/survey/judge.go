package survey

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Judge gives a row for every certificate, key and list that was seen, and for what else is not as it should be, the most urgent first.
func Judge(f *Fleet) []Row {
	j := newJudge(f)
	for i := range f.Authorities {
		j.authority(&f.Authorities[i])
	}
	for i := range f.Servers {
		j.server(&f.Servers[i])
	}
	for i := range f.Clients {
		j.client(&f.Clients[i])
	}
	for _, a := range f.Asked {
		j.asked(a)
	}
	for _, u := range f.Unseen {
		r := Row{Host: u.Host, Role: u.Role, Holder: u.Holder, Kind: KindHost, Path: u.Path, Unreachable: u.Unreachable}
		r.find(Unlooked, u.Reason, u.Hint)
		j.add(r)
	}
	Sort(j.rows)
	return j.rows
}

// judge holds what every judgement needs of the whole fleet.
type judge struct {
	f    *Fleet
	rows []Row
	// cas are all certificates of CAs seen anywhere, and lists all lists, by subject; each once: whoever owns a host's files can add to them. roots are the
	// inventory's own.
	cas   map[string][]*x509.Certificate
	roots []*x509.Certificate
	lists map[string][]*x509.RevocationList
	// records by authority and serial.
	records map[string]map[string]*Record
	// servers and users (clients of a server) by host.
	servers map[string][]*Server
	users   map[string][]*Client
	peers   *peers
}

func newJudge(f *Fleet) *judge {
	j := &judge{f: f, cas: map[string][]*x509.Certificate{}, lists: map[string][]*x509.RevocationList{}, records: map[string]map[string]*Record{},
		servers: map[string][]*Server{}, users: map[string][]*Client{}, peers: newPeers(f.Now)}
	f.eachCertificate(func(c *x509.Certificate) {
		if key := string(c.RawSubject); c.IsCA && !slices.ContainsFunc(j.cas[key], c.Equal) {
			j.cas[key] = append(j.cas[key], c)
		}
	})
	f.eachList(func(l *x509.RevocationList) {
		key := string(l.RawIssuer)
		if !slices.ContainsFunc(j.lists[key], func(o *x509.RevocationList) bool { return bytes.Equal(o.Raw, l.Raw) }) {
			j.lists[key] = append(j.lists[key], l)
		}
	})
	for i := range f.Authorities {
		a := &f.Authorities[i]
		for _, c := range append([]*x509.Certificate{a.Cert}, a.Chain...) {
			if c != nil && pki.SelfSigned(c) {
				j.roots = append(j.roots, c)
			}
		}
		if !a.Seen {
			continue
		}
		j.records[a.Name] = make(map[string]*Record, len(a.Records))
		for k := range a.Records {
			j.records[a.Name][a.Records[k].Serial] = &a.Records[k]
		}
	}
	for i := range f.Servers {
		j.servers[f.Servers[i].Host] = append(j.servers[f.Servers[i].Host], &f.Servers[i])
	}
	for i := range f.Clients {
		for _, server := range f.Clients[i].Servers {
			j.users[server] = append(j.users[server], &f.Clients[i])
		}
	}
	return j
}

// eachCertificate calls do with every certificate that was seen anywhere.
func (f *Fleet) eachCertificate(do func(*x509.Certificate)) {
	for _, a := range f.Authorities {
		for _, c := range append([]*x509.Certificate{a.Cert}, a.Chain...) {
			if c != nil {
				do(c)
			}
		}
	}
	f.eachFile(func(file *File) {
		for _, c := range file.Certs {
			do(c)
		}
	})
	for _, s := range f.Servers {
		for _, c := range s.Served {
			do(c)
		}
	}
}

func (f *Fleet) eachList(do func(*x509.RevocationList)) {
	for _, a := range f.Authorities {
		if a.List != nil {
			do(a.List)
		}
	}
	f.eachFile(func(file *File) {
		for _, l := range file.Lists {
			do(l)
		}
	})
}

// eachFile calls do with every file of servers and clients.
func (f *Fleet) eachFile(do func(*File)) {
	all := func(p *Pair, trust, lists *File, versions []Pair, others []File) {
		for _, file := range filesOf(p, trust, lists, versions, others) {
			do(file)
		}
	}
	for i := range f.Servers {
		s := &f.Servers[i]
		all(&s.Pair, &s.Trust, &s.Lists, s.Versions, s.Others)
	}
	for i := range f.Clients {
		c := &f.Clients[i]
		all(&c.Pair, &c.Trust, &c.Lists, c.Versions, c.Others)
	}
}

func (j *judge) add(r Row) {
	r.settle()
	j.rows = append(j.rows, r)
}

// signer is the authority of the inventory by whose certificate cert was signed. Without cert in the answer, one of that name has another key; unsure: one of that
// name could not be looked at.
func (j *judge) signer(cert *x509.Certificate) (a *Authority, ca *x509.Certificate, unsure bool) {
	issuer := pki.FormatSubject(cert.Issuer)
	for i := range j.f.Authorities {
		each := &j.f.Authorities[i]
		switch {
		case each.Cert == nil:
			unsure = unsure || each.Subject != "" && sameSubject(each.Subject, issuer)
		case bytes.Equal(each.Cert.RawSubject, cert.RawIssuer):
			if cert.CheckSignatureFrom(each.Cert) == nil {
				return each, each.Cert, false
			}
			a = each
		}
	}
	return a, nil, unsure && a == nil
}

// believable tells whether a certificate is one of the authorities of the inventory, or was made by one of them, or has the key of one. unsure as with signer.
func (j *judge) believable(cert *x509.Certificate) (ours, unsure bool) {
	subject := pki.FormatSubject(cert.Subject)
	for i := range j.f.Authorities {
		a := &j.f.Authorities[i]
		for _, ca := range append([]*x509.Certificate{a.Cert}, a.Chain...) {
			if ca != nil && (ca.Equal(cert) || pki.SameKey(ca.PublicKey, cert.PublicKey) || bytes.Equal(ca.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(ca) == nil) {
				return true, false
			}
		}
		unsure = unsure || a.Cert == nil && a.Subject != "" && sameSubject(a.Subject, subject)
	}
	return false, unsure
}

// sameSubject compares a declared subject with one that FormatSubject wrote.
func sameSubject(declared, written string) bool {
	name, err := pki.ParseSubject(declared)
	return err == nil && pki.FormatSubject(name) == written
}

// revocation gives why a certificate counts as revoked, "" when it does not: by the records of its authority, or by any list of its issuer.
func (j *judge) revocation(cert *x509.Certificate, a *Authority) string {
	if a != nil {
		for _, r := range a.Revoked {
			if r.Serial.Cmp(cert.SerialNumber) == 0 {
				return revokedText(r.At, r.Reason)
			}
		}
	}
	for _, l := range j.lists[string(cert.RawIssuer)] {
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(cert.SerialNumber) == 0 && j.speaks(l, cert) {
				return revokedText(e.RevocationTime, e.ReasonCode)
			}
		}
	}
	return ""
}

func revokedText(at time.Time, reason int) string {
	return fmt.Sprintf("revoked on %s (%s)", day(at), pki.ReasonName(reason))
}

// speaks tells whether a list was signed by the CA that signed a certificate.
func (j *judge) speaks(l *x509.RevocationList, cert *x509.Certificate) bool {
	return slices.ContainsFunc(j.cas[string(l.RawIssuer)], func(ca *x509.Certificate) bool {
		return pki.BelongsTo(l, ca) == nil && cert.CheckSignatureFrom(ca) == nil
	})
}

// describe fills what a row says of a certificate.
func (j *judge) describe(r *Row, c *x509.Certificate) {
	r.Cert, r.Subject, r.Names, r.Issuer = c, pki.FormatSubject(c.Subject), pki.Names(c), pki.FormatSubject(c.Issuer)
	r.Serial, r.SHA256 = pki.FormatSerial(c.SerialNumber), pki.Fingerprint(c)
	j.dates(r, c.NotBefore, c.NotAfter)
}

func (j *judge) describeList(r *Row, l *x509.RevocationList) {
	r.List, r.Issuer = l, pki.FormatSubject(l.Issuer)
	if l.Number != nil {
		r.Number = l.Number.String()
	}
	if j.dates(r, l.ThisUpdate, l.NextUpdate); l.NextUpdate.IsZero() {
		r.NotAfter, r.DaysLeft = nil, nil
	}
}

func (j *judge) dates(r *Row, from, to time.Time) {
	from, to = from.UTC(), to.UTC()
	left := int(math.Floor(to.Sub(j.f.Now).Hours() / 24))
	r.NotBefore, r.NotAfter, r.DaysLeft = &from, &to, &left
}

// valid finds that a certificate is over or has not begun.
func (j *judge) valid(r *Row, c *x509.Certificate, hint string) {
	switch now := j.f.Now; {
	case now.After(c.NotAfter):
		r.find(Expired, "it ended on "+day(c.NotAfter), hint)
	case now.Before(c.NotBefore):
		r.find(NotYet, "it begins on "+c.NotBefore.UTC().Format(time.RFC3339), "is a clock wrong?")
	}
}

// readable finds that a file is not there or cannot be used; true: it can.
func readable(r *Row, f *File, hint string) bool {
	switch {
	case f.Absent:
		r.find(Missing, f.Path+" is not there", hint)
	case f.Problem != "":
		r.find(Unreadable, f.Problem, hint)
	default:
		return true
	}
	return false
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// again is what mends most things.
func again(host string) string { return "run the playbook: pgfleet run mtls -l " + host }

// some writes a list, cut after a few.
func some(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
