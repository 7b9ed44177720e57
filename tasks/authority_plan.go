package tasks

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// authorityPlan is what has to be done to one authority.
type authorityPlan struct {
	a     pki.Authority
	state *AuthorityState
	// reasons say what is missing, for the summary.
	reasons []string
	// look: the host has to act or to be asked before something can be signed.
	look bool
	// certificate, list: to be made. good, bad: canaries to be made. due: the certificate that is there is to be renewed.
	// With a certificate that is renewed, the list is too: it would end with the one before.
	certificate, list, good, bad, due bool
	// ask: somebody else signs its certificate, and the request is to be made. waits: why it has to wait, nil when it need not.
	ask   bool
	waits *WaitingError
}

func (p *authorityPlan) want(reason string, what ...*bool) {
	p.reasons = append(p.reasons, reason)
	for _, w := range what {
		*w = true
	}
}

// plan compares an authority as seen with what it should be; nil: as wanted. above: the same change renews the authority above it. The error names what a
// person has to decide.
func (t *authorityTask) plan(h *Host, a pki.Authority, above bool) (*authorityPlan, error) {
	if err := declarable(h.Fleet.Authorities, a); err != nil {
		return nil, err
	}
	r, err := h.View.Get(KeyAuthority(a.Name))
	if err != nil {
		return nil, err
	}
	state, err := ParseAuthority(r)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", a.DirOrDefault(), err)
	}
	return t.compare(h, a, state, above)
}

// compare is plan for a state.
func (t *authorityTask) compare(h *Host, a pki.Authority, state *AuthorityState, above bool) (*authorityPlan, error) {
	if err := refuseState(a, state, h.Fleet.Now); err != nil {
		return nil, err
	}
	p := &authorityPlan{a: a, state: state}
	asked := t.Force && !a.IsRoot() && state.Certificate != nil && !t.forced.has(a.Name)
	if t.Only == "renew" {
		if a.IsRoot() || state.Certificate == nil {
			return nil, nil
		}
		p.planCertificate(h, asked, above)
		if err := p.planElsewhere(h); err != nil {
			return nil, err
		}
		p.list = p.due
		p.look = p.certificate || p.ask
		if !p.look && p.waits == nil {
			return nil, nil
		}
		return p, p.needsRoot()
	}
	if err := refuseAnew(h, a, state); err != nil {
		return nil, err
	}
	switch {
	case (state.Encrypted || state.Token != "") && state.PublicKey == nil:
		p.want("open its key", &p.look)
	case state.Token == "" && a.Key != "":
		p.want("take the key "+a.Key, &p.look)
	case state.PublicKey == nil:
		p.want("make key", &p.look)
	}
	if len(state.Open) > 0 {
		p.want("close to others: "+strings.Join(state.Open, ", "), &p.look)
	}
	if len(state.Differs) > 0 {
		p.want("bring records and index.txt together", &p.look)
	}
	p.planCertificate(h, asked, above)
	if err := p.planElsewhere(h); err != nil {
		return nil, err
	}
	p.list = p.due
	if state.Certificate != nil || p.certificate {
		p.planCanaries(h.Fleet.Now)
		p.planList(h.Fleet.Now)
	}
	if p.good || p.bad {
		p.look = true
	}
	if p.certificate && !a.IsRoot() {
		p.look = true
	}
	if len(p.reasons) == 0 && p.waits == nil {
		return nil, nil
	}
	if err := refuseLost(a, state); err != nil {
		return nil, err
	}
	return p, p.needsRoot()
}

// declarable refuses what cannot be made, whatever the host holds.
func declarable(declared map[string]pki.Authority, a pki.Authority) error {
	if a.Mode != "" && a.Mode != "convenient" && !a.Restricted() {
		return fmt.Errorf("mode %q is not convenient or restricted: %w", a.Mode, ErrRefused)
	}
	if err := pki.CheckKeyType(a.KeyType); err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if _, err := authorityTemplate(declared, a); err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if n := len(CanaryPrefix + a.Name); n > 64 {
		return fmt.Errorf("the name is too long by %d characters: its canaries are called %s%s: %w", n-64, CanaryPrefix, a.Name, ErrRefused)
	}
	if a.IsRoot() {
		return nil
	}
	if _, ok := declared[a.Issuer]; !ok {
		return fmt.Errorf("its issuer %q is not declared: %w", a.Issuer, ErrRefused)
	}
	return nil
}

// authorityTemplate is the certificate that an authority should have. A root may always have one authority below it.
func authorityTemplate(declared map[string]pki.Authority, a pki.Authority) (pki.Template, error) {
	subject, err := pki.ParseSubject(a.Subject)
	if err != nil {
		return pki.Template{}, err
	}
	below := height(declared, a.Name)
	if a.IsRoot() {
		below = max(below, 1)
	}
	t := pki.Template{Profile: pki.ProfileCA, Subject: subject, ValidFor: a.Life(), MaxPathLen: below}
	return t, t.Check()
}

// within is the template of an authority that ends no later than the one above it: a shorter life is better than none, since everything below waits for it.
func within(t pki.Template, issuer *x509.Certificate, now time.Time) pki.Template {
	if left := issuer.NotAfter.Sub(now); left > 0 {
		t.ValidFor = min(t.ValidFor, left)
	}
	return t
}

// refuseState refuses what only a person can decide.
func refuseState(a pki.Authority, s *AuthorityState, now time.Time) error {
	dir := a.DirOrDefault()
	refuse := func(format string, args ...any) error {
		return fmt.Errorf(format+": %w", append(args, ErrRefused)...)
	}
	switch {
	case s.Folder == "foreign":
		return refuse("%s holds something that pgfleet did not make (%.200q): name another folder with dir, or move it away", dir, s.Others)
	case s.Folder == "ours" && s.Owner != a.Name:
		return refuse("%s belongs to authority %q: name another folder with dir", dir, s.Owner)
	case s.KeyProblem != "":
		return refuse("%s", s.KeyProblem)
	case s.PublicKey != nil && pki.KeyType(s.PublicKey) != a.KeyTypeOrDefault():
		return refuse("its key is %s, declared is %s: an authority keeps its key; declare a new authority with a new subject", pki.KeyType(s.PublicKey), a.KeyTypeOrDefault())
	case refuseKey(a, s) != nil:
		return refuseKey(a, s)
	case s.Certificate == nil:
		return nil
	case s.PublicKey == nil && a.Key != "":
		return nil // its own host sees whether the key in the token belongs to it
	case s.PublicKey == nil:
		return refuse("%s/certs/ca.crt is there, but its key is missing: bring %s/keys/ca.key back from its backup, or declare a new authority with a new subject", dir, dir)
	case refusePair(a, s) != nil:
		return refusePair(a, s)
	case a.IsRoot() && !now.Before(s.Certificate.NotAfter):
		return refuse("its certificate ended on %s: declare a new authority with a new subject and roll over to it", s.Certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	subject, err := pki.ParseSubject(a.Subject)
	if is, want := pki.FormatSubject(s.Certificate.Subject), pki.FormatSubject(subject); err != nil || is != want {
		return refuse("its subject is %q, declared is %q: an authority keeps its subject; declare a new authority", is, want)
	}
	if a.IsRoot() != pki.SelfSigned(s.Certificate) {
		return refuse("its certificate was issued by %s, which is not what the inventory declares: declare a new authority", pki.FormatSubject(s.Certificate.Issuer))
	}
	return nil
}

// planCertificate: missing, or, for an intermediate, due or below another issuer. above: see plan.
func (p *authorityPlan) planCertificate(h *Host, asked, above bool) {
	switch cert := p.state.Certificate; {
	case cert == nil && p.a.IsRoot():
		p.want("sign its own certificate", &p.certificate)
	case cert == nil:
		p.want("have "+p.a.Issuer+" sign its certificate", &p.certificate)
	case !p.a.IsRoot():
		policy := pki.RenewPolicy{Asked: asked}
		if up, err := h.Fleet.CA.Certificate(p.a.Issuer); err == nil {
			policy.Issuer = up
		}
		if list, err := h.Fleet.CA.CRL(p.a.Issuer); err == nil {
			policy.CRL = list
		}
		if due, why := pki.Renew(cert, policy, h.Fleet.Now); due && !endsWith(cert, policy) {
			p.want("renew its certificate ("+why+")", &p.certificate, &p.due)
		} else if above || len(p.state.Chain) == 0 || !p.chainIs(h) {
			p.want("bring the chain above it", &p.certificate)
		}
	}
}

// endsWith tells whether a certificate ends with its issuer's, and nothing but its age asks for another one, which could not live longer.
func endsWith(cert *x509.Certificate, policy pki.RenewPolicy) bool {
	if policy.Issuer == nil || cert.NotAfter.Before(policy.Issuer.NotAfter) {
		return false
	}
	other, _ := pki.Renew(cert, policy, cert.NotBefore)
	return !other
}

// chainIs tells whether the chain above an authority is the one that its issuer has now, or that is not known.
func (p *authorityPlan) chainIs(h *Host) bool {
	chain, err := h.Fleet.CA.Chain(p.a.Issuer)
	return err != nil || slices.EqualFunc(chain, p.state.Chain, (*x509.Certificate).Equal)
}

// planCanaries: each must be there, belong to the authority and not have ended; the bad one must be among the revoked.
func (p *authorityPlan) planCanaries(now time.Time) {
	sound := func(cert *x509.Certificate) bool {
		return cert != nil && p.state.Certificate != nil && cert.CheckSignatureFrom(p.state.Certificate) == nil && now.Before(cert.NotAfter)
	}
	revoked := func(cert *x509.Certificate) bool {
		for _, r := range p.state.Revoked {
			if r.Serial.Cmp(cert.SerialNumber) == 0 {
				return true
			}
		}
		return slices.Contains(p.state.Differs, "revoked "+pki.FormatSerial(cert.SerialNumber))
	}
	if !sound(p.state.Good) || revoked(p.state.Good) {
		p.want("make the good test certificate", &p.good)
	}
	if !sound(p.state.Bad) || !revoked(p.state.Bad) {
		p.want("make the revoked test certificate", &p.bad)
	}
}

// planList: missing, wrong, ending, or to be made with the revoked canary.
func (p *authorityPlan) planList(now time.Time) {
	s := p.state
	switch {
	case s.CRL == nil || s.Certificate == nil:
		p.want("make the list of revoked certificates", &p.list)
	case p.bad:
		p.want("renew the list of revoked certificates", &p.list)
	default:
		// A list made a moment ago on another clock is not wrong.
		if err := pki.CheckCRL(s.CRL, s.Certificate, nil, s.Revoked, now.Add(time.Minute)); err != nil {
			p.want("renew the list of revoked certificates ("+err.Error()+")", &p.list)
		} else if s.CRL.NextUpdate.Before(s.Certificate.NotAfter) && now.After(s.CRL.ThisUpdate.Add(s.CRL.NextUpdate.Sub(s.CRL.ThisUpdate)/3*2)) {
			p.want("renew the list of revoked certificates (two thirds of its life are over)", &p.list)
		}
	}
}

// diff shows what is there and what is going to be.
func (p *authorityPlan) diff(h *Host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "authority %s (%s:%s)\n", p.a.Name, h.Name, p.a.DirOrDefault())
	for _, reason := range p.reasons {
		fmt.Fprintf(&b, "  %s\n", reason)
	}
	for _, d := range p.state.Differs {
		fmt.Fprintf(&b, "  index.txt: %s\n", d)
	}
	if !p.certificate {
		return b.String()
	}
	if p.state.Certificate != nil {
		b.WriteString(indent("- ", pki.Describe(p.state.Certificate)))
	}
	t, _ := authorityTemplate(h.Fleet.Authorities, p.a)
	issuer, key := "itself", p.a.KeyTypeOrDefault()
	if p.a.Key != "" {
		key += ", " + p.a.Key
	} else if p.a.Passphrase != nil {
		key += ", with a passphrase"
	}
	if !p.a.IsRoot() {
		issuer = p.a.Issuer
	}
	if up, err := h.Fleet.CA.Certificate(p.a.Issuer); err == nil {
		t = within(t, up, h.Fleet.Now)
	}
	fmt.Fprintf(&b, "+ subject:     %s\n+ key:         %s\n+ not after:   %s\n+ issuer:      %s\n", pki.FormatSubject(t.Subject), key,
		h.Fleet.Now.Add(t.ValidFor).UTC().Format("2006-01-02"), issuer)
	return b.String()
}

func indent(prefix, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(prefix + line)
	}
	return b.String()
}
