package tasks

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Authorities that pgfleet cannot have sign: one that is offline, or one that is not ours. What is asked of them and what comes back lies on a desk (package desk).

// foreignChain gives such an authority's certificate and those above it, its root last. A WaitingError while that of an offline one has not come.
func foreignChain(declared map[string]pki.Authority, a pki.Authority) ([]*x509.Certificate, error) {
	if a.External != "" {
		certs, _, err := readExternal(a)
		return certs, err
	}
	cert, err := desk.Desk{Dir: a.Desk}.Certificate()
	if err != nil {
		return nil, err
	}
	if cert == nil {
		return nil, &WaitingError{Authority: a.Name, What: []string{"its own certificate"}}
	}
	if a.IsRoot() {
		return []*x509.Certificate{cert}, nil
	}
	up, ok := declared[a.Issuer]
	if !ok || !up.Foreign() {
		return nil, fmt.Errorf("%w: authority %s is offline, and %s above it is not", ErrRefused, a.Name, a.Issuer)
	}
	above, err := foreignChain(declared, up)
	return append([]*x509.Certificate{cert}, above...), err
}

// Parties gives the authorities of an inventory for which somebody else signs, parents first, with what is known of them.
func Parties(declared map[string]pki.Authority) ([]desk.Party, error) {
	var out []desk.Party
	for _, name := range sortedKeys(declared) {
		a := declared[name]
		if !a.Foreign() {
			continue
		}
		p := desk.Party{Authority: a}
		var err error
		if p.Chain, err = foreignChain(declared, a); err != nil && AsWaiting(err) == nil {
			return nil, err
		}
		if len(p.Chain) > 0 && !p.Chain[0].IsCA {
			return nil, fmt.Errorf("external authority %s: %s: %s is no authority's certificate: what signs comes first, its root last", a.Name, a.External, pki.CertTitle(p.Chain[0]))
		}
		if err := strayList(a, p.Chain); err != nil {
			return nil, err
		}
		if p.Known, err = foreignLists(a); err != nil {
			return nil, err
		}
		if a.Offline {
			if p.Wanted, err = authorityTemplate(declared, a); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	sort.SliceStable(out, func(i, j int) bool { return depth(declared, out[i].Authority) < depth(declared, out[j].Authority) })
	return out, nil
}

// Asked counts what an authority that is offline or not ours is asked for at a time, as `pgfleet authority requests` lists it; 0 where that cannot be read, or nothing is kept of it.
func Asked(declared map[string]pki.Authority, name string, now time.Time) int {
	parties, err := Parties(declared)
	if err != nil {
		return 0
	}
	for i := range parties {
		if parties[i].Name == name {
			asks, err := parties[i].Asks(now)
			if err != nil {
				return 0
			}
			return asks.Count()
		}
	}
	return 0
}

// foreignLists gives every list of revoked certificates that is known of a foreign authority and those above it.
func foreignLists(a pki.Authority) ([]*x509.RevocationList, error) {
	lists, err := desk.Desk{Dir: a.Desk}.Lists()
	if err != nil {
		return nil, err
	}
	more, err := fileLists(a)
	return append(lists, more...), err
}

// fileLists gives the lists in the files that the inventory names: external, crl.
func fileLists(a pki.Authority) (lists []*x509.RevocationList, err error) {
	if a.External != "" {
		if _, lists, err = readExternal(a); err != nil {
			return nil, err
		}
	}
	if a.Lists == "" {
		return lists, nil
	}
	data, err := os.ReadFile(a.Lists)
	if err != nil {
		return nil, fmt.Errorf("lists of authority %s (crl in the inventory): %w", a.Name, err)
	}
	_, more, err := desk.Read(data)
	if err == nil && len(more) == 0 {
		err = errors.New("no list of revoked certificates (X509 CRL) found")
	}
	if err != nil {
		return nil, fmt.Errorf("lists of authority %s (crl in the inventory): %s: %w", a.Name, a.Lists, err)
	}
	return append(lists, more...), nil
}

// strayList refuses a list of somebody else in those files.
func strayList(a pki.Authority, chain []*x509.Certificate) error {
	lists, err := fileLists(a)
	if err != nil || len(chain) == 0 {
		return err
	}
	for _, l := range lists {
		if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return pki.BelongsTo(l, c) == nil }) {
			return fmt.Errorf("authority %s: the list of revoked certificates of %s in its files (external, crl in the inventory) is that of none of its certificates", a.Name, pki.FormatSubject(l.Issuer))
		}
	}
	return nil
}

// foreignList gives the newest list of a foreign authority, or of one above it: the one that cert signed. A WaitingError when there is none.
func foreignList(a pki.Authority, cert *x509.Certificate) (*x509.RevocationList, error) {
	lists, err := foreignLists(a)
	if err != nil {
		return nil, err
	}
	newest := newestOf(lists, cert)
	if newest == nil {
		return nil, &WaitingError{Authority: a.Name, What: []string{"list of revoked certificates of " + pki.CertTitle(cert)}}
	}
	return newest, nil
}

// newestOf gives the list of an authority with the highest number, nil when there is none.
func newestOf(lists []*x509.RevocationList, cert *x509.Certificate) *x509.RevocationList {
	var newest *x509.RevocationList
	for _, l := range lists {
		if pki.BelongsTo(l, cert) == nil && (newest == nil || newest.Number == nil || l.Number != nil && l.Number.Cmp(newest.Number) > 0) {
			newest = l
		}
	}
	return newest
}

// wanted is a certificate that is asked for, in words.
func wanted(t pki.Template, host string) string { return "certificate for " + desk.Title(t, host) }

// waits gives the WaitingError for an authority of ours that has no certificate because somebody else, above it, has to sign; nil when that is not so.
func (c *CA) waits(a pki.Authority, state *AuthorityState) error {
	up, ok := c.declared[a.Issuer]
	if !ok {
		return nil
	}
	t, err := authorityTemplate(c.declared, a)
	if err != nil {
		return nil
	}
	chain, err := c.Chain(up.Name)
	switch w := AsWaiting(err); {
	case w == nil && (err != nil || !up.Foreign()):
		return nil
	case w == nil && state.PublicKey != nil:
		if cert, _, err := answered(up, chain[0], a.Host, state.PublicKey, t, nil, c.now()); cert != nil || err != nil {
			return err
		}
	case w != nil && !up.Foreign():
		return w
	}
	return &WaitingError{Authority: up.Name, What: []string{wanted(t, a.Host)}}
}

// issueElsewhere gives what came back for a request, else puts the request on the desk and gives a WaitingError.
func (c *CA) issueElsewhere(a pki.Authority, req IssueRequest, pub crypto.PublicKey) (*x509.Certificate, error) {
	chain, err := c.Chain(a.Name)
	if err != nil && AsWaiting(err) == nil {
		return nil, err
	}
	if len(chain) > 0 {
		cert, _, err := answered(a, chain[0], req.Host, pub, req.Template, req.Not, c.now())
		if cert != nil || err != nil {
			return cert, err
		}
	}
	der := req.CSR
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	r, err := desk.Desk{Dir: a.Desk}.Ask(desk.Request{Host: req.Host, Template: req.Template, Made: c.now(), CSR: der, Public: pub})
	if err != nil {
		return nil, fmt.Errorf("keep the request for authority %s: %w", a.Name, err)
	}
	return nil, &WaitingError{Authority: a.Name, What: []string{wanted(r.Template, r.Host)}}
}

// answered gives the newest certificate that came back for a key and still does for what is wanted, nil when none does; waits: it was asked for. not is the one in
// force, which will not do, nor does what came before it.
func answered(a pki.Authority, ca *x509.Certificate, host string, pub crypto.PublicKey, t pki.Template, not *x509.Certificate, now time.Time) (cert *x509.Certificate, waits bool, err error) {
	at := desk.Desk{Dir: a.Desk}
	issued, err := at.Issued(pub)
	if err != nil {
		return nil, false, err
	}
	list, err := foreignList(a, ca)
	if err != nil && AsWaiting(err) == nil {
		return nil, false, err
	}
	unwanted, err := at.Revoked()
	if err != nil {
		return nil, false, err
	}
	for i := len(issued) - 1; i >= 0; i-- {
		c := issued[i].Cert
		if listed(unwanted, c.SerialNumber) {
			continue
		}
		if not != nil && c.Equal(not) {
			break
		}
		if issued[i].Host == host && c.CheckSignatureFrom(ca) == nil && pki.CheckIssued(c, t, now) == nil && (list == nil || !pki.Lists(list, c.SerialNumber)) {
			return c, false, nil
		}
	}
	r, err := at.Waiting(pub)
	return nil, err == nil && r != nil && r.Host == host && r.Wants(t), err
}

// IssuedElsewhere gives the certificates that a foreign authority has issued to this fleet, in the order in which they came.
func IssuedElsewhere(p *desk.Party) ([]Issued, error) {
	answers, err := desk.Desk{Dir: p.Desk}.Issued(nil)
	if err != nil {
		return nil, err
	}
	list := newestOf(p.Known, p.Chain[0])
	var out []Issued
	for _, a := range answers {
		i := Issued{Authority: p.Name, Serial: a.Cert.SerialNumber, Expires: a.Cert.NotAfter, Profile: a.Template.Profile, Host: a.Host, Subject: pki.OnelineSubject(a.Cert.Subject)}
		if list != nil {
			for _, e := range list.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(i.Serial) == 0 {
					i.Revoked = &pki.Revoked{Serial: i.Serial, At: e.RevocationTime, Reason: e.ReasonCode, Expires: i.Expires}
				}
			}
		}
		out = append(out, i)
	}
	return out, nil
}
