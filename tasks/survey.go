package tasks

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

// SurveyProbes looks at all certificates, keys and lists of a host, by its roles: its authorities with their records, its clusters with what they serve and what pgfleet keeps for
// them, its identities. One round trip takes them all.
func SurveyProbes(h *Host) []transport.Step {
	var out []transport.Step
	for _, a := range authoritiesOn(h) {
		out = append(out, recordsProbe(a))
	}
	if h.HasRole("db_server") {
		out = append(out, postgresProbe(h, "served"), serverProbe())
	}
	if h.HasRole("client") {
		out = append(out, identityProbes(h)...)
	}
	return out
}

// authoritiesOn gives the authorities whose key a host holds, by name.
func authoritiesOn(h *Host) []pki.Authority {
	var out []pki.Authority
	for _, name := range slices.Sorted(maps.Keys(h.Fleet.Authorities)) {
		if a := h.Fleet.Authorities[name]; a.Host == h.Name && a.Ours() {
			out = append(out, a)
		}
	}
	return out
}

// recordsProbe is AuthorityProbe that also reads the records of everything issued.
func recordsProbe(a pki.Authority) transport.Step {
	step := IssuedProbe(a)
	step.Key = KeyAuthority(a.Name)
	return step
}

// SurveyFacts gives what SurveyProbes saw of some hosts of a fleet, for package survey. Hosts of the fleet that are not named were not looked at.
func SurveyFacts(f *Fleet, looked []string) *survey.Fleet {
	s := &surveyor{fleet: f, looked: looked, out: &survey.Fleet{Now: f.Now, Hosts: map[string]bool{}}}
	for name := range f.Hosts {
		s.out.Hosts[name] = false
	}
	for _, name := range looked {
		s.out.Hosts[name] = true
	}
	s.authorities()
	s.asked()
	for _, name := range looked {
		h := f.Hosts[name]
		if h.HasRole("db_server") {
			s.servers(h)
		}
		if h.HasRole("client") {
			s.clients(h)
		}
	}
	return s.out
}

// surveyor gathers facts.
type surveyor struct {
	fleet  *Fleet
	looked []string
	out    *survey.Fleet
}

// unseen notes a part of a host that could not be looked at.
func (s *surveyor) unseen(host, role, holder, path string, err error) {
	s.out.Hosts[host] = false
	u := survey.Unseen{Host: host, Role: role, Holder: holder, Path: path, Reason: err.Error()}
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		u.Hint = hinter.Hint()
	}
	s.out.Unseen = append(s.out.Unseen, u)
}

// authorities gathers those of the inventory, also those whose host was not looked at: their names tell that something may be theirs.
func (s *surveyor) authorities() {
	for _, name := range slices.Sorted(maps.Keys(s.fleet.Authorities)) {
		a := s.fleet.Authorities[name]
		fact := survey.Authority{Name: name, Host: a.Host, Dir: a.DirOrDefault(), Subject: a.Subject, Root: a.IsRoot(), External: a.External != ""}
		switch {
		case a.Foreign():
			s.foreign(&fact, a)
		case a.Ours() && slices.Contains(s.looked, a.Host):
			if err := s.authority(&fact, a); err != nil {
				s.unseen(a.Host, authorityRole(a), name, a.DirOrDefault(), err)
			}
		}
		s.out.Authorities = append(s.out.Authorities, fact)
	}
}

// foreign gathers what is known of an authority that signs elsewhere.
func (s *surveyor) foreign(fact *survey.Authority, a pki.Authority) {
	chain, err := s.fleet.CA.Chain(a.Name)
	if err != nil {
		return
	}
	fact.Cert, fact.Chain, fact.File = chain[0], chain[1:], a.External
	fact.Root = pki.SelfSigned(chain[0])
	if a.Offline {
		fact.File = filepath.Join(a.Desk, "ca.crt")
	}
	if list, err := foreignList(a, chain[0]); err == nil {
		fact.List = list
	}
	if a.Offline {
		chain = chain[:1] // those above it are authorities of the inventory themselves
	}
	for _, cert := range chain {
		if list, from := newestKnown(a, cert); list != nil {
			fact.Lists = append(fact.Lists, survey.File{Path: from, Lists: []*x509.RevocationList{list}})
		}
	}
}

// asked gathers what lies on the desks. What cannot be read there is told.
func (s *surveyor) asked() {
	parties, err := Parties(s.fleet.Authorities)
	if err != nil {
		s.unseen("", "", "", "", err)
		return
	}
	for i := range parties {
		p := &parties[i]
		requests, err := desk.Desk{Dir: p.Desk}.Requests()
		if err != nil {
			s.unseen("", "", p.Name, p.Desk, err)
		}
		for _, r := range requests {
			s.out.Asked = append(s.out.Asked, survey.Asked{Authority: p.Name, Host: r.Host, Path: r.File, Subject: pki.FormatSubject(r.Template.Subject), Names: r.Template.Names(), Since: r.Made})
		}
		wishes, err := p.ListWishes(s.fleet.Now)
		if err != nil {
			s.unseen("", "", p.Name, p.Desk, err)
		}
		for _, w := range wishes {
			s.out.Asked = append(s.out.Asked, survey.Asked{Authority: p.Name, Path: p.Desk, List: true, Subject: w.Subject, Why: w.Why})
		}
	}
}

func authorityRole(a pki.Authority) string {
	if a.IsRoot() {
		return "root_ca"
	}
	return "intermediate_ca"
}

func (s *surveyor) authority(fact *survey.Authority, a pki.Authority) error {
	r, err := s.fleet.Hosts[a.Host].View.Get(KeyAuthority(a.Name))
	if err != nil {
		return err
	}
	state, err := ParseAuthority(r)
	if err != nil {
		return err
	}
	if state.Folder == "foreign" || state.Folder == "ours" && state.Owner != a.Name {
		return fmt.Errorf("%w: %s is not the folder of authority %s", ErrRefused, a.DirOrDefault(), a.Name)
	}
	if fact.Records, err = parseRecords(r); err != nil {
		return err
	}
	fact.Seen, fact.Cert, fact.Chain, fact.List, fact.Public = true, state.Certificate, state.Chain, state.CRL, state.PublicKey
	fact.InToken = state.Token != ""
	fact.KeyProblem, fact.Open, fact.Differs, fact.Revoked = state.KeyProblem, state.Open, state.Differs, state.Revoked
	return nil
}

// newestKnown gives the newest list that is known here of a certificate of an authority that signs elsewhere, and the file that it is in; nil: there is none, or it cannot be read.
func newestKnown(a pki.Authority, cert *x509.Certificate) (list *x509.RevocationList, from string) {
	list, err := foreignList(a, cert)
	if err != nil {
		return nil, ""
	}
	has := func(lists []*x509.RevocationList) bool {
		return slices.ContainsFunc(lists, func(l *x509.RevocationList) bool { return bytes.Equal(l.Raw, list.Raw) })
	}
	if came, err := (desk.Desk{Dir: a.Desk}).Lists(); err == nil && has(came) {
		return list, filepath.Join(a.Desk, "ca.crl")
	}
	if a.External != "" {
		if _, lists, err := readExternal(a); err == nil && has(lists) {
			return list, a.External
		}
	}
	return list, a.Lists
}
