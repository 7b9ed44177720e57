package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RenewPolicy is what a certificate should be.
type RenewPolicy struct {
	// Template: profile, subject and names are compared, its life is not.
	Template Template
	// Issuer is the authority's certificate now; nil is not compared.
	Issuer *x509.Certificate
	// Key is the public key on the host; nil is not compared.
	Key crypto.PublicKey
	// CRL of the issuer; nil: not looked at.
	CRL *x509.RevocationList
	// Foreign: somebody else signs, so the certificate only has to fit the template (see Fits).
	Foreign bool
	// Asked for by the user.
	Asked bool
}

// Renew tells whether a certificate has to be replaced, and the reason in words; "" and false when it need not.
func Renew(cert *x509.Certificate, policy RenewPolicy, now time.Time) (due bool, reason string) {
	for _, check := range []func(*x509.Certificate, RenewPolicy, time.Time) string{
		missing, asked, revokedReason, keyChanged, issuerChanged, namesChanged, lifeGone,
	} {
		if reason := check(cert, policy, now); reason != "" {
			return true, reason
		}
	}
	return false, ""
}

func missing(cert *x509.Certificate, _ RenewPolicy, _ time.Time) string {
	if cert == nil {
		return "there is none"
	}
	return ""
}

func asked(_ *x509.Certificate, policy RenewPolicy, _ time.Time) string {
	if policy.Asked {
		return "asked for"
	}
	return ""
}

func revokedReason(cert *x509.Certificate, policy RenewPolicy, _ time.Time) string {
	if policy.CRL == nil || string(policy.CRL.RawIssuer) != string(cert.RawIssuer) {
		return ""
	}
	for _, e := range policy.CRL.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return fmt.Sprintf("revoked on %s (%s)", day(e.RevocationTime), ReasonName(e.ReasonCode))
		}
	}
	return ""
}

func keyChanged(cert *x509.Certificate, policy RenewPolicy, _ time.Time) string {
	if policy.Key != nil && !SameKey(cert.PublicKey, policy.Key) {
		return "its key is not the one on the host"
	}
	return ""
}

func issuerChanged(cert *x509.Certificate, policy RenewPolicy, _ time.Time) string {
	ca := policy.Issuer
	if ca == nil {
		return ""
	}
	if string(ca.RawSubject) != string(cert.RawIssuer) {
		return fmt.Sprintf("its issuer is %s, wanted is %s", FormatSubject(cert.Issuer), FormatSubject(ca.Subject))
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return fmt.Sprintf("the key of its issuer %s has changed", FormatSubject(ca.Subject))
	}
	return ""
}

// Differs tells in words what of a certificate is not as a template has it: subject, names or use; "" when nothing is.
func Differs(cert *x509.Certificate, t Template, now time.Time) string {
	return namesChanged(cert, RenewPolicy{Template: t}, now)
}

func namesChanged(cert *x509.Certificate, policy RenewPolicy, now time.Time) string {
	t := policy.Template
	if t.Profile == "" {
		return ""
	}
	if policy.Foreign {
		if err := Fits(cert, t); err != nil {
			return err.Error()
		}
		return ""
	}
	if is, want := FormatSubject(cert.Subject), FormatSubject(t.Subject); is != want {
		return fmt.Sprintf("its subject is %q, wanted is %q", is, want)
	}
	wanted, err := t.certificate(cert.PublicKey, cert.SerialNumber, now)
	if err != nil {
		return "" // TBS refuses it with this error
	}
	if is, want := sortedNames(cert), sortedNames(wanted); !slices.Equal(is, want) {
		return fmt.Sprintf("its names are %s, wanted are %s", orNone(is), orNone(want))
	}
	if cert.IsCA != wanted.IsCA || !slices.Equal(cert.ExtKeyUsage, wanted.ExtKeyUsage) {
		return fmt.Sprintf("its use is %s, wanted is %s", orNone([]string{usage(cert)}), usage(wanted))
	}
	return ""
}

// NamesLost gives the names and addresses of a certificate that one of the template would not have, sorted.
func NamesLost(cert *x509.Certificate, t Template) []string {
	have := sortedNames(&x509.Certificate{DNSNames: t.sanNames(), IPAddresses: t.IPAddresses})
	var lost []string
	for _, name := range sortedNames(cert) {
		if !slices.Contains(have, name) {
			_, name, _ = strings.Cut(name, ":")
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	return slices.Compact(lost)
}

// sortedNames are the names in subjectAltName with their kind.
func sortedNames(cert *x509.Certificate) []string {
	var out []string
	for _, n := range cert.DNSNames {
		out = append(out, "DNS:"+strings.ToLower(n))
	}
	for _, ip := range cert.IPAddresses {
		out = append(out, "IP:"+ip.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func orNone(names []string) string {
	if text := strings.Join(names, ", "); text != "" {
		return text
	}
	return "none"
}

func lifeGone(cert *x509.Certificate, _ RenewPolicy, now time.Time) string {
	if !now.Before(cert.NotAfter) {
		return "it ended on " + day(cert.NotAfter)
	}
	if now.Before(RenewAt(cert)) {
		return ""
	}
	return fmt.Sprintf("two thirds of its life are over (%d days left)", int(cert.NotAfter.Sub(now).Hours()/24))
}

// RenewAt is the time when two thirds of a certificate's life are over.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}
