package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// ChainProblem is why a chain does not hold.
type ChainProblem string

// The problems that VerifyChain tells apart.
const (
	ChainIncomplete ChainProblem = "incomplete"     // an issuer is missing
	ChainNotTrusted ChainProblem = "not trusted"    // it ends at a root that is not among the trusted ones
	ChainExpired    ChainProblem = "expired"        // a certificate in it has ended
	ChainNotYet     ChainProblem = "not valid yet"  // a certificate in it begins later
	ChainWrongUse   ChainProblem = "wrong use"      // the leaf is for something else
	ChainNoCA       ChainProblem = "no authority"   // an issuer that may not sign certificates
	ChainNames      ChainProblem = "name forbidden" // an issuer's nameConstraints leave no room for a name
	ChainPathLength ChainProblem = "path too long"  // an issuer allows fewer authorities below it
	ChainNoCRLSign  ChainProblem = "no cRLSign"     // an issuer that may not sign lists, though lists are asked for
	ChainNoCRL      ChainProblem = "no list"        // a list is missing for an issuer
	ChainCRLInvalid ChainProblem = "list not valid" // the list of an issuer is wrong, ended or not valid yet
	ChainRevoked    ChainProblem = "revoked"        // a certificate in it is on its issuer's list
	ChainSignature  ChainProblem = "bad signature"  // an issuer of the right name did not sign it
)

// ChainError says why a chain does not hold, and at which certificate.
type ChainError struct {
	Problem ChainProblem
	Cert    *x509.Certificate
	Text    string
}

// Error gives the problem, the certificate and the details.
func (e *ChainError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Problem, CertTitle(e.Cert), e.Text)
}

// ChainOptions say how VerifyChain looks at a chain.
type ChainOptions struct {
	// Roots are trusted; only self-signed certificates count, as for libpq and PostgreSQL. Intermediates may be needed in between.
	Roots, Intermediates []*x509.Certificate
	// Use: ProfileServer or ProfileClient; "" accepts any.
	Use Profile
	// CRLs, if not nil, must hold a valid list for every authority of the chain, as PostgreSQL demands.
	CRLs []*x509.RevocationList
	Now  time.Time
}

// maxDepth is the number of certificates in a chain above which OpenSSL gives up as well.
const maxDepth = 100

// VerifyChain builds the chain from leaf to a trusted root, which it returns leaf first, and checks it as OpenSSL does for libpq and PostgreSQL. The
// error is a *ChainError.
func VerifyChain(leaf *x509.Certificate, opts ChainOptions) ([]*x509.Certificate, error) {
	chain, err := buildChain(leaf, opts)
	if err != nil {
		return chain, err
	}
	if err := checkUse(leaf, opts.Use); err != nil {
		return chain, err
	}
	for depth, cert := range chain {
		if err := checkDates(cert, opts.Now); err != nil {
			return chain, err
		}
		if depth > 0 {
			if err := checkAuthority(cert, depth-1, opts.CRLs != nil); err != nil {
				return chain, err
			}
			if err := allowsUse(cert, opts.Use); err != nil {
				return chain, err
			}
			if err := allowsNames(cert, leaf.DNSNames, leaf.IPAddresses, leaf.Subject.CommonName); err != nil {
				return chain, err
			}
		}
	}
	if opts.CRLs == nil {
		return chain, nil
	}
	for i, cert := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		if err := checkRevoked(cert, issuer, opts); err != nil {
			return chain, err
		}
	}
	return chain, nil
}

// SelfSigned tells whether a certificate names itself as its issuer and signed itself.
func SelfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func buildChain(leaf *x509.Certificate, opts ChainOptions) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{leaf}
	for len(chain) < maxDepth {
		last := chain[len(chain)-1]
		if SelfSigned(last) {
			if contains(opts.Roots, last) {
				return chain, nil
			}
			return chain, &ChainError{ChainNotTrusted, last, "this root is not among the trusted authorities"}
		}
		issuer, err := findIssuer(last, opts)
		if err != nil {
			return chain, err
		}
		chain = append(chain, issuer)
	}
	return chain, &ChainError{ChainIncomplete, leaf, "the chain does not end"}
}

func contains(list []*x509.Certificate, cert *x509.Certificate) bool {
	for _, c := range list {
		if c.Equal(cert) {
			return true
		}
	}
	return false
}

// findIssuer gives the certificate whose key signed cert; one that is valid now is preferred.
func findIssuer(cert *x509.Certificate, opts ChainOptions) (*x509.Certificate, error) {
	var found *x509.Certificate
	named := false
	for _, list := range [][]*x509.Certificate{opts.Roots, opts.Intermediates} {
		for _, c := range list {
			if !bytes.Equal(c.RawSubject, cert.RawIssuer) {
				continue
			}
			named = true
			if c.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
				continue
			}
			if checkDates(c, opts.Now) == nil {
				return c, nil
			}
			found = c
		}
	}
	switch {
	case found != nil:
		return found, nil
	case named:
		return nil, &ChainError{ChainSignature, cert, fmt.Sprintf("the authority called %s that is here did not sign it", FormatSubject(cert.Issuer))}
	}
	return nil, &ChainError{ChainIncomplete, cert, fmt.Sprintf("its issuer %s is missing", FormatSubject(cert.Issuer))}
}

func checkDates(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return &ChainError{ChainExpired, cert, "it ended on " + cert.NotAfter.UTC().Format(time.RFC3339)}
	case now.Before(cert.NotBefore):
		return &ChainError{ChainNotYet, cert, "it begins on " + cert.NotBefore.UTC().Format(time.RFC3339)}
	}
	return nil
}

// checkUse is extendedKeyUsage and keyUsage of a leaf, as OpenSSL's purposes sslserver and sslclient have it: none at all accepts every use, anyExtendedKeyUsage by itself
// none of these two.
func checkUse(leaf *x509.Certificate, use Profile) error {
	var wanted []x509.ExtKeyUsage
	keys, names := x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement, "digitalSignature"
	switch use {
	case ProfileServer:
		wanted = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageNetscapeServerGatedCrypto, x509.ExtKeyUsageMicrosoftServerGatedCrypto}
		keys, names = keys|x509.KeyUsageKeyEncipherment, "digitalSignature or keyEncipherment"
	case ProfileClient:
		wanted = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		return nil
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(leaf.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return slices.Contains(wanted, u) }) {
		return &ChainError{ChainWrongUse, leaf, fmt.Sprintf("it is for %s, not for a %s", orNone([]string{usage(leaf)}), use)}
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&keys == 0 {
		return &ChainError{ChainWrongUse, leaf, fmt.Sprintf("its keyUsage lacks %s, without which it is not accepted from a %s", names, use)}
	}
	return nil
}

// checkAuthority looks at an issuer with so many authorities between it and the leaf.
func checkAuthority(ca *x509.Certificate, below int, lists bool) error {
	switch {
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return &ChainError{ChainNoCA, ca, "it is no authority (basicConstraints)"}
	case ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return &ChainError{ChainNoCA, ca, "it may not sign certificates (keyUsage lacks keyCertSign)"}
	case (ca.MaxPathLen > 0 || ca.MaxPathLenZero) && below > ca.MaxPathLen:
		return &ChainError{ChainPathLength, ca, fmt.Sprintf("it allows %d authorities below it, there are %d", ca.MaxPathLen, below)}
	case lists && ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0:
		return &ChainError{ChainNoCRLSign, ca, "it may not sign lists (keyUsage lacks cRLSign), so PostgreSQL refuses every certificate below it"}
	}
	return nil
}

// checkRevoked looks cert up in the lists of its issuer, one of which must be valid.
func checkRevoked(cert, issuer *x509.Certificate, opts ChainOptions) error {
	var invalid error
	valid := false
	for _, l := range opts.CRLs {
		if !bytes.Equal(l.RawIssuer, issuer.RawSubject) {
			continue
		}
		if err := CheckCRL(l, issuer, nil, nil, opts.Now); err != nil {
			invalid = err
			continue
		}
		if Lists(l, cert.SerialNumber) {
			return &ChainError{ChainRevoked, cert, "it is on the list of " + CertTitle(issuer)}
		}
		valid = true
	}
	switch {
	case valid:
		return nil
	case invalid != nil:
		return &ChainError{ChainCRLInvalid, issuer, invalid.Error()}
	}
	return &ChainError{ChainNoCRL, issuer, "there is no list of its revoked certificates, so PostgreSQL refuses every certificate below it"}
}
