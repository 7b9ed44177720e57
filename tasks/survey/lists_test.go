package survey

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

const oneDay = 24 * time.Hour

// house has db1 believe an authority that the inventory does not have, beside ours, with a list in pgfleet's file; the house keeps one in its own.
func (w *world) house(inForce, theirs *x509.RevocationList, ca *issuer) {
	s := w.db()
	s.Trust.Certs = append(s.Trust.Certs, ca.cert)
	s.Asks = append(s.Asks, sequence(ca.cert.RawSubject))
	s.Lists.Lists = append(s.Lists.Lists, inForce)
	s.Theirs = File{Path: "/etc/house/ca.crl", Lists: lists(theirs)}
	s.Others = append(s.Others, s.Theirs)
}

// TestNewerLists: where a list in force has ended, ends, or is older than another one, it is said what brings a newer one, and what was revoked since.
func TestNewerLists(t *testing.T) {
	const bring, crlHere = "bring its newest list to /etc/house/ca.crl on db1, then: pgfleet run crl -l db1", "pgfleet run crl -l db1 brings it into force"
	const answer = "have it make a new one and take that in (pgfleet authority answer FILE), then: pgfleet run crl"
	for _, c := range []struct {
		name string
		do   func(w *world, house *issuer)
		// want: states of db1's lists that are not ours to make, with reason and hint after " | "; "" where there is none.
		want []string
	}{
		{"the house has no newer one", func(w *world, house *issuer) {
			l := house.list(w.t, 3, 30*oneDay, now)
			w.house(l, l, house)
		}, []string{"not_ours"}},
		{"it has ended", func(w *world, house *issuer) {
			l := house.list(w.t, 3, time.Minute, now)
			w.house(l, l, house)
		}, []string{"expired: every client with a certificate below CN=house is refused | " + bring, "not_ours"}},
		{"it ends", func(w *world, house *issuer) {
			l := house.list(w.t, 3, 30*oneDay, now.Add(-21*oneDay))
			w.house(l, l, house)
		}, []string{"list_ending: every client with a certificate below CN=house is refused | " + bring, "not_ours"}},
		{"it has ended, and there is a newer one", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, time.Minute, now), house.list(w.t, 4, 30*oneDay, now), house)
		}, []string{"expired: it ended | " + crlHere, "records_differ: it has number 3, /etc/house/ca.crl has 4 since | " + crlHere, "not_ours"}},
		{"the newer one has revoked something", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, 30*oneDay, now), house.list(w.t, 4, 30*oneDay, now, w.clientLeaf), house)
		}, []string{"records_differ: it lacks the revoked | " + crlHere, "not_ours"}},
		{"the newer one has ended", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, 30*oneDay, now), house.list(w.t, 4, time.Minute, now), house)
		}, []string{"not_ours"}},
		{"the newer one is of another authority of that name", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, 30*oneDay, now), newAuthority(w.t, nil, "house", year, now).list(w.t, 4, 30*oneDay, now), house)
		}, []string{"not_ours"}},
		{"nothing names a file of the house's", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, time.Minute, now), nil, house)
			w.db().Theirs, w.db().Others = File{}, nil
		}, []string{"expired: it ended | have ssl_crl_file in postgresql.conf on db1 name a file with its newest list, then: pgfleet run crl -l db1", "not_ours"}},
		{"the server keeps the house's own file", func(w *world, house *issuer) {
			s := w.db()
			s.OurSettings = map[string]string{"ssl_cert_file": s.Cert.Path}
			s.Trust.Certs, s.Lists.Lists = []*x509.Certificate{house.cert}, []*x509.RevocationList{house.list(w.t, 3, time.Minute, now)}
			s.Lists.Path = "/etc/house/ca.crl"
			s.Asks, s.InForce["ssl_crl_file"] = []string{sequence(house.cert.RawSubject)}, s.Lists.Path
		}, []string{"expired: it ended | bring its newest list to /etc/house/ca.crl on db1, then: pgfleet task postgres_reload -l db1", "not_ours"}},
		{"it is an authority of the inventory that signs elsewhere", func(w *world, house *issuer) {
			l := house.list(w.t, 3, time.Minute, now)
			w.house(l, house.list(w.t, 4, 30*oneDay, now), house)
			w.elsewhere(house, l)
		}, []string{"expired: it ended | " + answer}},
		{"of which a newer one is known", func(w *world, house *issuer) {
			w.house(house.list(w.t, 3, time.Minute, now), nil, house)
			w.db().Theirs, w.db().Others = File{}, nil
			w.elsewhere(house, house.list(w.t, 4, 30*oneDay, now))
		}, []string{"expired: it ended | " + crlHere, "records_differ: authority company has made 4 since | " + crlHere}},
		{"of which an older one is known", func(w *world, house *issuer) {
			w.house(house.list(w.t, 4, 30*oneDay, now), nil, house)
			w.db().Theirs, w.db().Others = File{}, nil
			w.elsewhere(house, house.list(w.t, 3, 30*oneDay, now))
		}, []string{"records_differ: the newest of authority company that is known here is 3 | take it in"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			house := newAuthority(t, nil, "house", year, now.Add(-60*oneDay))
			c.do(w, house)
			rows := Judge(w.fleet)
			var got []Finding
			for _, r := range rows {
				if r.Host == "db1" && r.Kind == KindList && r.InForce && r.Issuer == "CN=house" {
					got = append(got, r.Findings...)
				}
			}
			same := len(got) == len(c.want)
			for i := 0; same && i < len(got); i++ {
				state, more, _ := strings.Cut(c.want[i], ": ")
				reason, hint, _ := strings.Cut(more, " | ")
				same = string(got[i].State) == state && strings.Contains(got[i].Reason, reason) && strings.HasPrefix(got[i].Hint, hint)
			}
			if !same {
				t.Errorf("found %+v\nwant %s", got, strings.Join(c.want, "\n"))
			}
		})
	}
}

// elsewhere declares an authority that is not ours, of which a list is known.
func (w *world) elsewhere(ca *issuer, l *x509.RevocationList) {
	w.fleet.Authorities = append(w.fleet.Authorities, Authority{Name: "company", Root: true, External: true, File: "/inv/company.pem", Cert: ca.cert, List: l,
		Lists: []File{{Path: "/inv/company.crl", Lists: []*x509.RevocationList{l}}}})
}

// Lists that are known here of an authority that signs elsewhere have a row before anybody believes them, those of the certificates above it too.
func TestListsElsewhere(t *testing.T) {
	w := newWorld(t)
	root := newAuthority(t, nil, "company root", year, now)
	issuing := newAuthority(t, root, "company issuing", year, now)
	w.elsewhere(issuing, issuing.list(t, 5, time.Minute, now))
	a := w.ca(3)
	a.Root, a.Chain = false, []*x509.Certificate{root.cert}
	a.Lists = append(a.Lists, File{Path: "/inv/company.pem", Lists: []*x509.RevocationList{root.list(t, 2, 30*oneDay, now)}})
	var got []string
	for _, r := range Judge(w.fleet) {
		if r.Host == "" && r.Kind == KindList {
			line := strings.Join([]string{r.Role, r.Holder, r.Path, r.Number, string(r.State)}, " ")
			for _, f := range r.Findings {
				line += ": " + f.Reason + " | " + f.Hint
			}
			got = append(got, line)
		}
	}
	want := []string{"intermediate_ca company /inv/company.crl 5 expired: it ended on 2026-06-01: whoever has it refuses every certificate below CN=company issuing | " +
		"have it make a new one and take that in (pgfleet authority answer FILE), then: pgfleet run crl", "intermediate_ca company /inv/company.pem 2 ok"}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A list that never ends is not over.
func TestListWithoutEnd(t *testing.T) {
	w := newWorld(t)
	endless := *w.ca(0).List
	endless.NextUpdate = time.Time{}
	w.ca(0).List = &endless
	w.db().Lists.Lists = []*x509.RevocationList{&endless}
	w.later(5 * year)
	for _, r := range Judge(w.fleet) {
		if r.Kind == KindList && r.Issuer == "CN=clients" && (r.State != OK || r.DaysLeft != nil) {
			t.Errorf("%s: %+v", r.Path, r.Findings)
		}
	}
}

func lists(l *x509.RevocationList) []*x509.RevocationList {
	if l == nil {
		return nil
	}
	return []*x509.RevocationList{l}
}

// A client that has lists and believes others without one of theirs reaches none of their servers: no playbook makes that list.
func TestListMissingOfTheirs(t *testing.T) {
	w := newWorld(t)
	house := newAuthority(t, nil, "house", year, now)
	c := w.app()
	c.Trust.Certs = append(c.Trust.Certs, house.cert)
	c.Lists = w.file(clientDir+"/root.crl", "app", 0o600)
	c.Lists.Lists = []*x509.RevocationList{w.ca(1).List, w.ca(2).List}
	for _, r := range Judge(w.fleet) {
		if r.Host == "app1" && r.Subject == "CN=house" {
			if f := r.Findings[0]; f.State != ListMissing || f.Hint != "declare it in the inventory (external, and its lists: crl), then: pgfleet run mtls -l app1" {
				t.Errorf("%+v", r.Findings)
			}
			return
		}
	}
	t.Error("there is no row of the house's authority")
}
