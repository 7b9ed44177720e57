package pki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrAuthorityDue says that an authority ends before a certificate that it should sign.
var ErrAuthorityDue = errors.New("the authority is due for renewal")

// TBS gives the bytes of a certificate that are to be signed (TBSCertificate, RFC 5280 4.1.1.1) and the name of the signature algorithm:
// ecdsa-with-SHA256, -SHA384 or -SHA512, sha256WithRSAEncryption, ed25519. pub is the key that the certificate is for. issuer nil makes a
// self-signed root; then issuerPub is not used. The certificate is valid from Backdate before now until now + t.ValidFor, and never longer
// than its issuer: ErrAuthorityDue. Only a canary may: its issuer's certificate is renewed meanwhile.
func TBS(t Template, pub crypto.PublicKey, issuer *x509.Certificate, issuerPub crypto.PublicKey, serial *big.Int, now time.Time) (tbs []byte, algorithmName string, err error) {
	template, err := t.certificate(pub, serial, now)
	if err != nil {
		return nil, "", fmt.Errorf("certificate for %s: %w", t.Title(), err)
	}
	if issuer == nil {
		issuer, issuerPub = template, pub
		template.AuthorityKeyId = template.SubjectKeyId
	} else if err := checkIssuer(t, issuer, template); err != nil {
		return nil, "", fmt.Errorf("certificate for %s: %w", t.Title(), err)
	}
	if algorithmName, err = algorithm(issuerPub); err != nil {
		return nil, "", err
	}
	signer := &capture{public: issuerPub}
	if _, err := x509.CreateCertificate(nil, template, issuer, pub, signer); !errors.Is(err, errCaptured) {
		return nil, "", fmt.Errorf("certificate for %s: %w", t.Title(), err)
	}
	return signer.message, algorithmName, nil
}

// Title names what a template is for: its common name, else its first other name.
func (t Template) Title() string {
	switch {
	case t.Subject.CommonName != "":
		return t.Subject.CommonName
	case len(t.DNSNames) > 0:
		return t.DNSNames[0]
	case len(t.IPAddresses) > 0:
		return t.IPAddresses[0].String()
	}
	return "nobody"
}

// certificate is the template in crypto/x509's terms.
func (t Template) certificate(pub crypto.PublicKey, serial *big.Int, now time.Time) (*x509.Certificate, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if err := CheckKey(pub); err != nil {
		return nil, err
	}
	if serial == nil || serial.Sign() <= 0 || len(serial.Bytes()) > 20 {
		return nil, fmt.Errorf("serial number %v is not positive and at most 20 bytes long", serial)
	}
	keyID, err := subjectKeyID(pub)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: t.Subject, SubjectKeyId: keyID,
		NotBefore: now.Add(-Backdate).UTC().Truncate(time.Second), NotAfter: now.Add(t.ValidFor).UTC().Truncate(time.Second),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		IPAddresses: t.IPAddresses, DNSNames: t.sanNames(),
	}
	_, isRSA := pub.(*rsa.PublicKey)
	switch t.Profile {
	case ProfileCA:
		cert.IsCA, cert.MaxPathLen, cert.MaxPathLenZero = true, t.MaxPathLen, t.MaxPathLen == 0
		cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	case ProfileServer:
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if isRSA {
			cert.KeyUsage |= x509.KeyUsageKeyEncipherment
		}
	case ProfileClient:
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	case ProfileCanary:
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	return cert, nil
}

// sanNames are the DNS names and, because libpq before 15 compares addresses with DNS names only, the addresses once more as text.
func (t Template) sanNames() []string {
	names := append([]string(nil), t.DNSNames...)
	for _, ip := range t.IPAddresses {
		names = append(names, ip.String())
	}
	return unique(names)
}

// Names are the host names and addresses of a template.
func (t Template) Names() []string {
	names := append([]string(nil), t.DNSNames...)
	for _, ip := range t.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// Check refuses templates that make no sense: a server without a name, a client without a common name, names that no certificate can hold,
// no life.
func (t Template) Check() error {
	cn := t.Subject.CommonName
	switch {
	case t.ValidFor <= 0:
		return fmt.Errorf("a life of %s is not possible", t.ValidFor)
	case utf8.RuneCountInString(cn) > maxCommonName:
		return fmt.Errorf("common name %q is longer than %d characters", cn, maxCommonName)
	case t.Profile == ProfileServer && len(t.DNSNames)+len(t.IPAddresses) == 0:
		return errors.New("a server needs at least one name or address that clients connect to")
	case t.Profile != ProfileServer && cn == "":
		return fmt.Errorf("profile %q needs a common name", t.Profile)
	case t.Profile != ProfileServer && len(t.DNSNames)+len(t.IPAddresses) > 0:
		return fmt.Errorf("profile %q takes no names besides the subject", t.Profile)
	}
	switch t.Profile {
	case ProfileCA, ProfileServer, ProfileClient, ProfileCanary:
	default:
		return fmt.Errorf("profile %q is not one of server, client, ca", t.Profile)
	}
	if err := checkNameText(subjectText(t.Subject)); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	for _, name := range t.DNSNames {
		if err := CheckDNSName(name); err != nil {
			return err
		}
	}
	for _, ip := range t.IPAddresses {
		if len(ip) != net.IPv4len && len(ip) != net.IPv6len {
			return fmt.Errorf("%v is not an address", []byte(ip))
		}
	}
	return nil
}

func subjectText(name pkix.Name) string { return FormatSubject(name) + name.SerialNumber }

// CheckDNSName refuses what cannot stand in a certificate as a host name: allowed are letters, digits, '-', '_' and '.', at most 253
// characters and 63 a label, and "*" as the whole first label.
func CheckDNSName(name string) error {
	bad := func(why string) error { return fmt.Errorf("host name %q: %s", name, why) }
	if name == "" || len(name) > 253 {
		return bad("must have 1 to 253 characters")
	}
	for i, label := range strings.Split(name, ".") {
		switch {
		case label == "":
			return bad("has an empty part")
		case len(label) > 63:
			return bad("has a part longer than 63 characters")
		case label == "*" && i == 0 && strings.Contains(name, "."):
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
			return bad("may hold letters, digits, '-', '_' and '.', and '*' as its whole first part")
		}
	}
	return nil
}

// checkIssuer refuses what the issuer may not sign.
func checkIssuer(t Template, issuer, cert *x509.Certificate) error {
	by := "authority " + CertTitle(issuer)
	switch {
	case !issuer.IsCA || issuer.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s may not sign certificates (basicConstraints or keyUsage)", by)
	case t.Profile == ProfileCA && issuer.MaxPathLenZero:
		return fmt.Errorf("%s may not sign authorities (path length 0)", by)
	case t.Profile == ProfileCA && issuer.MaxPathLen > 0 && (t.MaxPathLen < 0 || t.MaxPathLen >= issuer.MaxPathLen):
		return fmt.Errorf("path length %d is too large below %s, which has %d", t.MaxPathLen, by, issuer.MaxPathLen)
	case t.Profile == ProfileServer && KeyType(issuer.PublicKey) == "ed25519":
		return fmt.Errorf("%s has an Ed25519 key: libpq cannot log in with a password (SCRAM channel binding) to a server whose certificate it signed; use an ecdsa or rsa authority for servers", by)
	case t.Profile != ProfileCanary && cert.NotAfter.After(issuer.NotAfter):
		return fmt.Errorf("it would end on %s, after %s, which ends on %s: %w",
			day(cert.NotAfter), by, day(issuer.NotAfter), ErrAuthorityDue)
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// subjectKeyID is method 1 of RFC 7093: the leftmost 160 bits of the SHA-256 of the key's bits.
func subjectKeyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// signatureAlgorithms are the AlgorithmIdentifiers (RFC 5280 4.1.1.2, RFC 5758, RFC 8410) by the names that TBS gives.
var signatureAlgorithms = map[string][]byte{
	"ecdsa-with-SHA256":       {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02},
	"ecdsa-with-SHA384":       {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03},
	"ecdsa-with-SHA512":       {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04},
	"sha256WithRSAEncryption": {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00},
	"ed25519":                 {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70},
}

// Assemble puts a signature to the bytes that were signed: a certificate or a list in DER. An empty signature gives a certificate that can be
// read before it is signed, which is all that TBS and CRLTBS need of an issuer.
func Assemble(tbs []byte, algorithmName string, signature []byte) ([]byte, error) {
	id, ok := signatureAlgorithms[algorithmName]
	if !ok {
		return nil, fmt.Errorf("signature algorithm %q is not known", algorithmName)
	}
	bits, err := asn1.Marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})
	if err != nil {
		return nil, fmt.Errorf("encode signature: %w", err)
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join([][]byte{tbs, id, bits}, nil)})
}

// Unsigned gives a certificate as it will read once it is signed. Its signature is empty; use it only as the issuer of TBS and CRLTBS.
func Unsigned(tbs []byte, algorithmName string) (*x509.Certificate, error) {
	der, err := Assemble(tbs, algorithmName, nil)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return cert, nil
}
