package tasks

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// holder is one place that holds a key and a certificate: a cluster of a server, an identity of a client.
type holder struct {
	// Key is unique in the fleet; Title is for the user ("cluster 15/main", "dbuser1 of postgres").
	Key, Title string
	// Anchor is a folder whose parents are safe, Below pgfleet's folder under it, both without a slash at the end. File: server or client.
	Anchor, Below, File string
	// User acts ("": root). FolderMode of new folders above the versions.
	User, FolderMode string
	Versions         []version
	Current          *version
	Template         pki.Template
}

func (o *holder) base() string { return o.Anchor + "/" + o.Below }

// certificatePlan is what has to be done for one holder.
type certificatePlan struct {
	*holder
	// by is the authority that signs.
	by *issuing
	// Why in words; "" when the certificate in force stays.
	Why string
	// Issue: Gen has to be made; otherwise it is complete and only has to be put in force. Keep: with the certificate in force and a new chain, none is signed.
	Issue, Keep bool
	Gen         string
	// KeyOf is the version folder whose key is kept, "" for a new key or one that Gen has already. Fresh: see IssueRequest.
	KeyOf string
	Fresh bool
	// KeyNote tells the user where the key comes from.
	KeyNote string
	// Elsewhere: somebody else signs. Ask: the request is to be made; Waits: it was, and there is no answer yet. Held are version folders whose keys wait for one,
	// of this authority or of a successor.
	Elsewhere, Ask, Waits bool
	Held                  []string
}

// previous is the version that stays besides the new one, for going back.
func (p *certificatePlan) previous() string {
	if p.Current.leaf() != nil && p.Current.Gen != p.Gen {
		return p.Current.Gen
	}
	for i := len(p.Versions) - 1; i >= 0; i-- {
		if v := &p.Versions[i]; v.Gen != p.Gen && v.leaf() != nil {
			return v.Gen
		}
	}
	return ""
}

// kept gives the version folders that stay besides the new one, as words.
func (p *certificatePlan) kept() string {
	return strings.Join(append([]string{p.previous()}, p.Held...), " ")
}

// surplus tells whether there are version folders that nobody needs any more.
func (p *certificatePlan) surplus() bool {
	keep := p.previous()
	for _, v := range p.Versions {
		if v.Gen != p.Gen && v.Gen != keep && !slices.Contains(p.Held, v.Gen) {
			return true
		}
	}
	return false
}

// planFor compares what a holder on a host has with what it shall have.
func (t *certificateTask) planFor(host string, o *holder, by *issuing, now time.Time) (*certificatePlan, error) {
	plan := t.planHere(o, by, now)
	if plan.Issue {
		if !plan.Keep && by.cannot != nil {
			return nil, by.cannot
		}
		if err := by.allows(o.Template); err != nil {
			return nil, fmt.Errorf("%w: a certificate of authority %s for %s would be refused: %w", ErrRefused, by.name, o.Title, err)
		}
	}
	if by.foreign != nil {
		if err := t.planElsewhere(host, plan, now); err != nil {
			return nil, err
		}
	}
	if by.early != nil && plan.Why != "" && !plan.Ask && !plan.Waits {
		return nil, by.early
	}
	return plan, plan.holdForNext(host)
}

// allows tells why nobody would accept what the authority signs for a template.
func (i *issuing) allows(t pki.Template) error {
	if i.foreign == nil {
		t.DNSNames = t.Names() // addresses once more as text, which somebody else may leave out
	}
	return pki.Allows(i.chain, t)
}

// planHere is planFor where pgfleet has the authority sign.
func (t *certificateTask) planHere(o *holder, by *issuing, now time.Time) *certificatePlan {
	plan := &certificatePlan{holder: o, by: by}
	plan.Why = t.due(o, o.Current, by, now, t.wantsForce(o.Key))
	if plan.Why == "" {
		plan.Gen = o.Current.Gen
		return plan
	}
	if v := t.finished(o, by, now); v != nil {
		plan.Gen, plan.Why = v.Gen, plan.Why+"; a certificate issued before is put in force"
		return plan
	}
	plan.Issue, plan.Keep = true, plan.Why == otherChain || plan.Why == renewedAbove
	plan.chooseKey(t)
	if plan.Gen == "" {
		plan.Gen = generation(now, o.Versions)
	}
	return plan
}

// otherChain and renewedAbove are the reasons of a version whose certificate may stay.
const (
	otherChain   = "the file does not hold exactly the certificate and the authorities between it and its root"
	renewedAbove = "an authority above it has a new certificate"
)

// due gives why a version cannot stay in force, "" when it can.
func (t *certificateTask) due(o *holder, v *version, by *issuing, now time.Time, asked bool) string {
	if v == nil || v.leaf() == nil {
		return "there is none"
	}
	pub, err := x509.ParsePKIXPublicKey(v.Key.spki())
	switch {
	case v.Key.Encrypted:
		return "its key has a passphrase, without which nothing starts unattended"
	case err != nil:
		return "its key " + v.Key.Path + " is missing or cannot be read"
	case t.KeyType != "" && pki.KeyType(pub) != t.KeyType:
		return fmt.Sprintf("its key is %s, wanted is %s", pki.KeyType(pub), t.KeyType)
	}
	policy := pki.RenewPolicy{Template: o.Template, Issuer: by.chain[0], Key: pub, CRL: by.crl, Asked: asked, Foreign: by.foreign != nil}
	if due, why := pki.Renew(v.leaf(), policy, now); due {
		return why
	}
	if reason := by.unwantedFor(v.leaf()); reason != "" {
		return "it shall be revoked (" + reason + ")"
	}
	switch {
	case bytes.Equal(v.Crt.PEM, by.served(v.leaf())):
		return ""
	case (&anchors{certs: by.servedChain(v.leaf())}).renewed(v.Chain):
		return renewedAbove
	}
	return otherChain
}

// finished gives a version newer than the one in force that a stopped run left complete.
func (t *certificateTask) finished(o *holder, by *issuing, now time.Time) *version {
	for i := len(o.Versions) - 1; i >= 0; i-- {
		v := &o.Versions[i]
		if o.Current != nil && v.Gen <= o.Current.Gen {
			return nil
		}
		if v.complete() && t.due(o, v, by, now, t.wantsForce(o.Key)) == "" {
			return v
		}
	}
	return nil
}

// chooseKey says which key the new certificate is for: one that waits for a certificate, the one in force, or a new one.
func (p *certificatePlan) chooseKey(t *certificateTask) {
	current := p.keepable(t)
	for i := len(p.Versions) - 1; i >= 0; i-- {
		v := &p.Versions[i]
		if !v.pending() || !t.fits(v) || p.by.knownToOthers(v, p.Versions) {
			continue
		}
		same := p.Current != nil && bytes.Equal(v.Key.spki(), p.Current.Key.spki())
		if current == nil && !same || current != nil && same {
			p.Gen, p.Fresh, p.KeyNote = v.Gen, same, "key: the one that a stopped run left in "+v.Dir
			return
		}
	}
	if current != nil {
		p.KeyOf, p.Fresh, p.KeyNote = current.Dir, true, "key: kept"
		return
	}
	p.KeyNote = "key: new, " + t.keyType()
}

// keepable is the version in force when its key may be used again, else nil.
func (p *certificatePlan) keepable(t *certificateTask) *version {
	v := p.Current
	if v == nil || t.NewKey && !p.Keep || v.Key.Encrypted || len(v.Key.spki()) == 0 || !t.fits(v) || p.by.knownToOthers(v, p.Versions) || p.ofAnother(v) {
		return nil
	}
	return v
}

// ofAnother tells whether the key of a version in force was certified for a server of another name: this host was renamed, or is a copy of the other one. On record
// the key is that host's, and its authority certifies it for no other.
func (p *certificatePlan) ofAnother(v *version) bool {
	leaf := v.leaf()
	names := p.Template.Names()
	return p.Template.Profile == pki.ProfileServer && leaf != nil && len(names) > 0 &&
		!slices.Contains(pki.Template{DNSNames: leaf.DNSNames, IPAddresses: leaf.IPAddresses}.Names(), names[0])
}

func (t *certificateTask) keyType() string {
	if t.KeyType == "" {
		return "ecdsa-p256"
	}
	return t.KeyType
}

// fits tells whether a version's key is of the type that is asked for, if one is.
func (t *certificateTask) fits(v *version) bool {
	pub, err := x509.ParsePKIXPublicKey(v.Key.spki())
	return err == nil && pki.CheckKey(pub) == nil && (t.KeyType == "" || pki.KeyType(pub) == t.KeyType)
}

// knownToOthers tells whether a certificate of this key was revoked because the key is compromised, also by an authority that is replaced.
func (i *issuing) knownToOthers(key *version, versions []version) bool {
	for _, v := range versions {
		leaf := v.leaf()
		if leaf == nil || !bytes.Equal(leaf.RawSubjectPublicKeyInfo, key.Key.spki()) {
			continue
		}
		for _, crl := range append([]*x509.RevocationList{i.crl}, i.before...) {
			if crl != nil && bytes.Equal(crl.RawIssuer, leaf.RawIssuer) && revokedFor(crl, leaf.SerialNumber) == "keyCompromise" {
				return true
			}
		}
		if i.unwantedFor(leaf) == "keyCompromise" {
			return true
		}
	}
	return false
}

// unwantedFor gives the reason for which a certificate shall be revoked, "" when it is not to be.
func (i *issuing) unwantedFor(leaf *x509.Certificate) string {
	for _, r := range i.unwanted {
		if r.Serial.Cmp(leaf.SerialNumber) == 0 {
			return pki.ReasonName(r.Reason)
		}
	}
	return ""
}

// revokedFor gives the reason for which a serial number is on a list, "" when it is not.
func revokedFor(crl *x509.RevocationList, serial *big.Int) string {
	for _, e := range crl.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return pki.ReasonName(e.ReasonCode)
		}
	}
	return ""
}

// diff shows what the certificate is and what it will be. What only the authority can say is known after apply.
func (p *certificatePlan) diff() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Title, p.Why)
	if leaf := p.Current.leaf(); leaf != nil && p.Gen != p.Current.Gen && !p.Keep {
		b.WriteString(prefixLines("- ", pki.Describe(leaf)))
	}
	if !p.Issue {
		if v := p.version(p.Gen); v != nil && (p.Current == nil || v.Gen != p.Current.Gen) {
			b.WriteString(prefixLines("+ ", pki.Describe(v.leaf())))
		}
		return b.String()
	}
	if p.Keep {
		for _, ca := range p.by.chain[:len(p.by.chain)-1] {
			b.WriteString(prefixLines("+ ", pki.Describe(ca)))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "+ subject:     %s\n", pki.FormatSubject(p.Template.Subject))
	names := append([]string(nil), p.Template.DNSNames...)
	for _, ip := range p.Template.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 0 {
		fmt.Fprintf(&b, "+ names:       %s\n", strings.Join(names, " "))
	}
	fmt.Fprintf(&b, "+ use:         %s\n+ %-12s %s\n", p.Template.Profile, "key:", strings.TrimPrefix(p.KeyNote, "key: "))
	fmt.Fprintf(&b, "+ valid for:   %d days\n", int(p.Template.ValidFor.Hours()/24))
	fmt.Fprintf(&b, "+ issuer:      %s\n+ serial:      (known after apply)\n", pki.FormatSubject(p.by.chain[0].Subject))
	return b.String()
}

// version gives the version of a name, nil when there is none.
func (o *holder) version(gen string) *version {
	for i := range o.Versions {
		if o.Versions[i].Gen == gen {
			return &o.Versions[i]
		}
	}
	return nil
}

func prefixLines(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+prefix) + "\n"
}
