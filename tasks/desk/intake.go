package desk

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Party is an authority that somebody else signs for.
type Party struct {
	pki.Authority
	// Wanted is the certificate that an offline authority itself shall have.
	Wanted pki.Template
	// Chain is its certificate and those above it, its root last; empty while that of an offline authority has not come.
	Chain []*x509.Certificate
	// Known are the lists of revoked certificates that are in use: those on the desk, and in files of the user's.
	Known []*x509.RevocationList
}

func (p *Party) desk() Desk { return Desk{p.Desk} }

// File is a file that was handed in.
type File struct {
	Name string
	Data []byte
}

// Intake is what files hold that is new, checked and not stored yet.
type Intake struct {
	// Anchors are certificates of offline authorities: whoever hands them in vouches for them.
	Anchors []Anchor
	Answers []Found
	Lists   []FoundList
	// Known counts what had come before.
	Known int
}

// Anchor is an offline authority's own certificate.
type Anchor struct {
	Authority string
	Cert      *x509.Certificate
	desk      Desk
}

// Found is a certificate that was asked for.
type Found struct {
	Authority string
	Request   *Request
	Cert      *x509.Certificate
	file      string
	desk      Desk
}

// FoundList is a list of an authority, or of one above it (Issuer).
type FoundList struct {
	Authority, Issuer string
	List              *x509.RevocationList
	desk              Desk
}

// intake is the work of Check.
type intake struct {
	parties []Party
	// servers are the names of the inventory's servers, as templates of their certificates.
	servers []pki.Template
	now     time.Time
	out     Intake
	wrong   []string
}

// piece is one certificate or list in a file.
type piece struct {
	file string
	cert *x509.Certificate
	list *x509.RevocationList
}

// Check holds everything in some files against what is wanted. Parents stand before those below them in parties. The error names each thing that is not accepted and why, one
// a line; then nothing is to be stored. servers are the certificates that the inventory's servers shall have: an authority has to have room for one of them.
func Check(parties []Party, servers []pki.Template, files []File, now time.Time) (*Intake, error) {
	in := &intake{parties: parties, servers: servers, now: now}
	var pieces []piece
	for _, f := range files {
		certs, lists, err := Read(f.Data)
		if err != nil {
			in.wrong = append(in.wrong, f.Name+": "+err.Error())
			continue
		}
		for _, c := range certs {
			pieces = append(pieces, piece{file: f.Name, cert: c})
		}
		for _, l := range lists {
			pieces = append(pieces, piece{file: f.Name, list: l})
		}
	}
	for i := range parties {
		if a := &parties[i]; a.Offline {
			in.each(pieces, func(p piece) error { return in.anchor(a, p.cert) })
		}
	}
	in.each(pieces, in.lists) // a list that came along tells whether a certificate is revoked
	in.each(pieces, in.certificate)
	if len(in.wrong) > 0 {
		return nil, errors.New(strings.Join(in.wrong, "\n"))
	}
	return &in.out, nil
}

func (in *intake) each(pieces []piece, do func(piece) error) {
	for _, p := range pieces {
		if err := do(p); err != nil {
			in.wrong = append(in.wrong, p.file+": "+err.Error())
		}
	}
}

// Store puts everything on the desks. Stopped anywhere, the same files can be handed in again.
func (i *Intake) Store(now time.Time) error {
	for _, a := range i.Anchors {
		if err := a.desk.PutCertificate(a.Cert); err != nil {
			return err
		}
	}
	for _, l := range i.Lists {
		if err := l.desk.PutList(l.List); err != nil {
			return err
		}
	}
	for _, f := range i.Answers {
		if err := f.desk.Put(f.Request, f.Cert, now); err != nil {
			return err
		}
	}
	return nil
}

// anchor takes an offline authority's own certificate, and completes the chain with it.
func (in *intake) anchor(a *Party, cert *x509.Certificate) error {
	if cert == nil || pki.FormatSubject(cert.Subject) != pki.FormatSubject(a.Wanted.Subject) {
		return nil
	}
	title := fmt.Sprintf("certificate of authority %s (%s)", a.Name, pki.FormatSubject(cert.Subject))
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{title}, args...)...)
	}
	var above []*x509.Certificate
	if a.Issuer != "" {
		up := in.party(a.Issuer)
		if up == nil || len(up.Chain) == 0 {
			return refuse("that of authority %s above it has not come: hand it in too", a.Issuer)
		}
		above = up.Chain
	}
	if len(a.Chain) > 0 {
		switch now := a.Chain[0]; {
		case now.Equal(cert):
			in.out.Known++
			return nil
		case !pki.SameKey(now.PublicKey, cert.PublicKey):
			return refuse("it has another key than the one that is believed; a new authority gets a new name and a new subject in the inventory")
		case !cert.NotAfter.After(now.NotAfter):
			return refuse("the one that is there ends later (%s)", now.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	wanted := a.Wanted
	if a.Issuer == "" {
		wanted.MaxPathLen = -1 // a root that allows more does no harm
		if below := a.Wanted.MaxPathLen; (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && cert.MaxPathLen < below {
			return refuse("its path length is %d, %d is needed for the authorities below it", cert.MaxPathLen, below)
		}
	}
	if err := pki.CheckIssued(cert, wanted, in.now); err != nil {
		return refuse("%w", err)
	}
	if is := pki.KeyType(cert.PublicKey); is != a.KeyTypeOrDefault() {
		return refuse("its key is %s, declared is %s", is, a.KeyTypeOrDefault())
	}
	if a.Issuer == "" && !pki.SelfSigned(cert) {
		return refuse("the inventory declares a root, and this one is not self-signed (issuer %s)", pki.FormatSubject(cert.Issuer))
	}
	chain := append([]*x509.Certificate{cert}, above...)
	if err := pki.Allows(above, a.Wanted); err != nil {
		return refuse("%w", err)
	}
	if err := in.useful(chain); err != nil {
		return refuse("%w", err)
	}
	if err := verified(cert, chain, "", in.now); err != nil {
		return refuse("%w", err)
	}
	a.Chain = chain
	in.out.Anchors = append(in.out.Anchors, Anchor{a.Name, cert, a.desk()})
	return nil
}

// verified checks a certificate with the chain above it as openssl would. One that was made a moment ago on another clock is not wrong.
func verified(cert *x509.Certificate, chain []*x509.Certificate, use pki.Profile, now time.Time) error {
	_, err := pki.VerifyChain(cert, pki.ChainOptions{Roots: chain[len(chain)-1:], Intermediates: chain, Use: use, Now: now.Add(time.Minute)})
	return err
}

func (in *intake) party(name string) *Party {
	for i := range in.parties {
		if in.parties[i].Name == name {
			return &in.parties[i]
		}
	}
	return nil
}

// inChain tells whether a certificate is one of an authority here: those who sign send it along.
func (in *intake) inChain(cert *x509.Certificate) bool {
	for _, p := range in.parties {
		for _, c := range p.Chain {
			if c.Equal(cert) {
				return true
			}
		}
	}
	return false
}
