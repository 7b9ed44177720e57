package desk

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// certificate takes a certificate that was asked for. One that was taken in before, or is an authority's that is known, is passed over.
func (in *intake) certificate(p piece) error {
	if p.cert == nil || in.inChain(p.cert) || in.isAnchor(p.cert) {
		return nil
	}
	// One key may have been certified by one authority and wait for another, which replaces that one: the whole fleet keeps its keys.
	var before *Answer
	var asked *Party
	var request *Request
	for i := range in.parties {
		a := &in.parties[i]
		issued, err := a.desk().Issued(p.cert.PublicKey)
		if err != nil {
			return err
		}
		for n := range issued {
			if issued[n].Cert.Equal(p.cert) {
				in.out.Known++
				return nil
			}
			before = &issued[n]
		}
		r, err := a.desk().Waiting(p.cert.PublicKey)
		if err != nil {
			return err
		}
		if r != nil && (request == nil || len(a.Chain) > 0 && p.cert.CheckSignatureFrom(a.Chain[0]) == nil) {
			asked, request = a, r
		}
	}
	switch {
	case request != nil:
		return in.answer(asked, request, p)
	case before != nil:
		return fmt.Errorf("certificate %s: for the request of %s another one, %s, was taken in before, and nothing waits", pki.FormatSerial(p.cert.SerialNumber), before.Title(), pki.FormatSerial(before.Cert.SerialNumber))
	}
	return in.stranger(p.cert)
}

// isAnchor tells whether a certificate bears the name of an offline authority: what there is to say of it was said.
func (in *intake) isAnchor(cert *x509.Certificate) bool {
	for _, a := range in.parties {
		if a.Offline && pki.FormatSubject(cert.Subject) == pki.FormatSubject(a.Wanted.Subject) {
			return true
		}
	}
	return false
}

// answer checks a certificate for the key of a request.
func (in *intake) answer(a *Party, r *Request, p piece) error {
	cert := p.cert
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("certificate for %s: "+format, append([]any{r.Title()}, args...)...)
	}
	for _, other := range in.out.Answers {
		if other.Authority != a.Name || !pki.SameKey(other.Cert.PublicKey, cert.PublicKey) {
			continue
		}
		if other.Cert.Equal(cert) {
			return nil
		}
		return refuse("there are two, %s (%s) and %s: hand in one", pki.FormatSerial(other.Cert.SerialNumber), other.file, pki.FormatSerial(cert.SerialNumber))
	}
	if len(a.Chain) == 0 {
		return refuse("the certificate of authority %s itself has not come: hand it in too", a.Name)
	}
	ca := a.Chain[0]
	switch {
	case !bytes.Equal(cert.RawIssuer, ca.RawSubject):
		return refuse("it was issued by %s, not by authority %s (%s)", pki.FormatSubject(cert.Issuer), a.Name, pki.FormatSubject(ca.Subject))
	case errors.As(cert.CheckSignatureFrom(ca), new(x509.InsecureAlgorithmError)):
		return refuse("it is signed with %s, which is not accepted any more: have it signed with SHA-256", cert.SignatureAlgorithm)
	case cert.CheckSignatureFrom(ca) != nil:
		return refuse("its issuer has the name of authority %s, but another key: %s did not sign it", a.Name, pki.CertTitle(ca))
	}
	if err := pki.CheckIssued(cert, r.Template, in.now); err != nil {
		return refuse("%w", err)
	}
	use := r.Template.Profile
	if use == pki.ProfileCA {
		use = ""
	}
	if r.Template.Profile == pki.ProfileCA {
		if err := in.serves(cert, a, r.Template); err != nil {
			return refuse("%w", err)
		}
	}
	if err := verified(cert, a.Chain, use, in.now); err != nil {
		var broken *pki.ChainError
		if errors.As(err, &broken) && broken.Problem == pki.ChainIncomplete {
			return refuse("%s is missing above it: add it to %s", pki.FormatSubject(broken.Cert.Issuer), a.External)
		}
		return refuse("%w", err)
	}
	if err := in.serial(a, cert); err != nil {
		return refuse("%w", err)
	}
	in.out.Answers = append(in.out.Answers, Found{a.Name, r, cert, p.file, a.desk()})
	return nil
}

// serves refuses the certificate of an authority below which, or below those above it, nothing would be accepted.
func (in *intake) serves(cert *x509.Certificate, a *Party, wanted pki.Template) error {
	if err := pki.Allows(a.Chain, wanted); err != nil {
		return err
	}
	return in.useful(append([]*x509.Certificate{cert}, a.Chain...))
}

// useful refuses a chain below which neither a server of the inventory nor a client would be accepted. What an authority is for is said by playbooks, which are not known here.
func (in *intake) useful(chain []*x509.Certificate) error {
	client := pki.Allows(chain, pki.Template{Profile: pki.ProfileClient})
	server := pki.Allows(chain, pki.Template{Profile: pki.ProfileServer})
	if server != nil && client != nil {
		return server
	}
	if server != nil || len(in.servers) == 0 {
		return nil // an authority for clients
	}
	var why error
	for _, t := range in.servers {
		if why = pki.Allows(chain, t); why == nil {
			return nil
		}
	}
	return why
}

// serial refuses a number that is revoked, or that another certificate has.
func (in *intake) serial(a *Party, cert *x509.Certificate) error {
	for _, l := range a.Known {
		if pki.BelongsTo(l, a.Chain[0]) == nil && pki.Lists(l, cert.SerialNumber) {
			return fmt.Errorf("its serial number %s is on the authority's list of revoked certificates", pki.FormatSerial(cert.SerialNumber))
		}
	}
	issued, err := a.desk().Numbered(cert.SerialNumber)
	if err != nil {
		return err
	}
	for _, i := range issued {
		if bytes.Equal(i.Cert.RawIssuer, cert.RawIssuer) {
			return fmt.Errorf("its serial number %s is that of the certificate for %s: revoking one would revoke both", pki.FormatSerial(cert.SerialNumber), i.Title())
		}
	}
	return nil
}

// stranger says what a certificate is for whose key nothing was asked.
func (in *intake) stranger(cert *x509.Certificate) error {
	title := fmt.Sprintf("certificate %s (%s)", pki.FormatSerial(cert.SerialNumber), pki.FormatSubject(cert.Subject))
	for _, a := range in.parties {
		requests, err := a.desk().Requests()
		if err != nil {
			return err
		}
		for i := range requests {
			if strings.EqualFold(requests[i].Template.Title(), pki.CertTitle(cert)) {
				return fmt.Errorf("%s: its key is not that of the request for %s: have %s signed", title, requests[i].Title(), requests[i].File)
			}
		}
	}
	if cert.IsCA {
		return fmt.Errorf("%s: is an authority's that stands above nobody here: what signs for an external authority belongs into the file that the inventory names", title)
	}
	return fmt.Errorf("%s: nothing that waits has its key: pgfleet authority requests lists what does", title)
}
