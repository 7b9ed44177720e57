package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// What comes back from an authority that is not ours is held against what was asked. It may be stricter, never wider.

// lifeSlack is by how much a certificate may live longer than was asked: those who sign count whole days, and backdate.
const lifeSlack = 25 * time.Hour

// CheckIssued tells what is wrong with a certificate that somebody else signed for a template: another subject, names or use (see Fits), ended, not valid yet,
// a longer life than was asked, or so little left of it that it would have to be replaced at once.
func CheckIssued(cert *x509.Certificate, t Template, now time.Time) error {
	if err := Fits(cert, t); err != nil {
		return err
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	switch {
	case !now.Before(cert.NotAfter):
		return fmt.Errorf("it ended on %s", cert.NotAfter.UTC().Format(time.RFC3339))
	case cert.NotBefore.After(now.Add(time.Minute)):
		return fmt.Errorf("it begins on %s, which is still to come", cert.NotBefore.UTC().Format(time.RFC3339))
	case life > t.ValidFor+lifeSlack:
		return fmt.Errorf("it lives %d days, longer than the %d that were asked", int(life.Hours()/24), int(t.ValidFor.Hours()/24))
	case !now.Before(RenewAt(cert)):
		return fmt.Errorf("two thirds of its life are over (it ends on %s): it would have to be replaced at once", day(cert.NotAfter))
	}
	return CheckKey(cert.PublicKey)
}

// Fits tells where a certificate says something else than a template, its dates and key aside. Of a leaf the subject may hold more than the common name that was asked
// (authorities add their organization), and the names need not hold addresses once more as text, which only libpq before 15 wants; beyond what was asked it may not go. A
// server's may have no common name. An authority's has to be exactly as asked.
func Fits(cert *x509.Certificate, t Template) error {
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("it has the critical extension %s, which clients and servers may not know", cert.UnhandledCriticalExtensions[0])
	}
	if t.Profile == ProfileCA {
		return fitsAuthority(cert, t)
	}
	switch {
	case cert.IsCA, cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return errors.New("it is an authority's (CA:TRUE, or keyUsage lets it sign), a certificate for one holder was asked")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("its keyUsage lacks digitalSignature")
	}
	if err := fitsUse(cert, t); err != nil {
		return err
	}
	return fitsNames(cert, t)
}

func fitsAuthority(cert *x509.Certificate, t Template) error {
	is, want := FormatSubject(cert.Subject), FormatSubject(t.Subject)
	switch {
	case is != want:
		return fmt.Errorf("its subject is %q, asked was %q", is, want)
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return errors.New("it is no authority's: basicConstraints lacks CA:TRUE")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its keyUsage lacks keyCertSign: it could sign no certificate")
	case cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return errors.New("its keyUsage lacks cRLSign: PostgreSQL would refuse everybody below it")
	case t.MaxPathLen >= 0 && (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && cert.MaxPathLen < t.MaxPathLen:
		return fmt.Errorf("its path length is %d, %d is needed for the authorities below it", cert.MaxPathLen, t.MaxPathLen)
	case t.MaxPathLen >= 0 && !(cert.MaxPathLen > 0 || cert.MaxPathLenZero):
		return fmt.Errorf("it has no path length, asked was %d: it could make further authorities", t.MaxPathLen)
	case t.MaxPathLen >= 0 && cert.MaxPathLen > t.MaxPathLen:
		return fmt.Errorf("its path length is %d, asked was %d: it could make further authorities", cert.MaxPathLen, t.MaxPathLen)
	}
	return nil
}

// fitsUse wants exactly the use that was asked.
func fitsUse(cert *x509.Certificate, t Template) error {
	want, name := x509.ExtKeyUsageServerAuth, "serverAuth"
	if t.Profile == ProfileClient {
		want, name = x509.ExtKeyUsageClientAuth, "clientAuth"
	}
	switch {
	case !slices.Contains(cert.ExtKeyUsage, want):
		return fmt.Errorf("its extendedKeyUsage lacks %s", name)
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 1:
		return fmt.Errorf("its extendedKeyUsage holds more than %s, which alone was asked", name)
	}
	return nil
}

func fitsNames(cert *x509.Certificate, t Template) error {
	want, may := map[string]bool{}, map[string]bool{}
	for _, n := range t.DNSNames {
		want["DNS:"+strings.ToLower(n)] = true
	}
	for _, ip := range t.IPAddresses {
		want["IP:"+ip.String()] = true
		may["DNS:"+ip.String()] = true
	}
	has := sortedNames(cert)
	for _, n := range has {
		if !want[n] && !may[n] {
			return fmt.Errorf("it has the name %s, which was not asked", n)
		}
	}
	for n := range want {
		if !slices.Contains(has, n) {
			return fmt.Errorf("it lacks the name %s", n)
		}
	}
	if len(cert.EmailAddresses)+len(cert.URIs) > 0 {
		return errors.New("its subjectAltName holds mail addresses or URIs, which were not asked")
	}
	return fitsCommonName(cert, t)
}

// fitsCommonName: PostgreSQL takes the first one for the user's name, so there may be only one.
func fitsCommonName(cert *x509.Certificate, t Template) error {
	var names []string
	for _, a := range cert.Subject.Names {
		if a.Type.String() == "2.5.4.3" {
			names = append(names, fmt.Sprint(a.Value))
		}
	}
	want := t.Subject.CommonName
	switch {
	case len(names) > 1:
		return fmt.Errorf("it has %d common names, where one was asked", len(names))
	case len(names) == 0 && t.Profile == ProfileServer:
		return nil
	case len(names) == 0:
		return fmt.Errorf("it has no common name, asked was %q", want)
	case names[0] == want:
		return nil
	case t.Profile == ProfileServer && namesHost(t, names[0]):
		return nil
	}
	return fmt.Errorf("its common name is %q, asked was %q", names[0], want)
}

// namesHost tells whether a name is among those of a template.
func namesHost(t Template, name string) bool {
	return slices.ContainsFunc(t.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) ||
		slices.ContainsFunc(t.IPAddresses, func(ip net.IP) bool { return ip.String() == name })
}
