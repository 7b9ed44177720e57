package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// now is the time of these tests.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// issuer is an authority of a test: certificate and key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign ends what TBS or CRLTBS began, as an authority's host does.
func sign(t testing.TB, key crypto.Signer, tbs []byte, algorithm string) []byte {
	t.Helper()
	hash := map[string]crypto.Hash{"ecdsa-with-SHA256": crypto.SHA256, "ecdsa-with-SHA384": crypto.SHA384, "ecdsa-with-SHA512": crypto.SHA512,
		"sha256WithRSAEncryption": crypto.SHA256, "ed25519": 0}[algorithm]
	sig, err := crypto.SignMessage(key, rand.Reader, tbs, hash)
	if err != nil {
		t.Fatal(err)
	}
	der, err := Assemble(tbs, algorithm, sig)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issue makes a certificate below by, or a root where by is nil.
func issue(t testing.TB, by *issuer, tmpl Template, key crypto.Signer, at time.Time) *x509.Certificate {
	t.Helper()
	serial, err := NewSerial(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ca *x509.Certificate
	var pub crypto.PublicKey
	signer := key
	if by != nil {
		ca, pub, signer = by.cert, by.key.Public(), by.key
	}
	tbs, algorithm, err := TBS(tmpl, key.Public(), ca, pub, serial, at)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(sign(t, signer, tbs, algorithm))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t testing.TB, by *issuer, cn string, life time.Duration, pathLen int, kind string) *issuer {
	t.Helper()
	key := newKey(t, kind)
	return &issuer{issue(t, by, Template{Profile: ProfileCA, Subject: pkix.Name{CommonName: cn}, ValidFor: life, MaxPathLen: pathLen}, key, now), key}
}

func (i *issuer) crl(t testing.TB, number int64, life time.Duration, at time.Time, revoked ...Revoked) *x509.RevocationList {
	t.Helper()
	ca := *i.cert
	if life > 0 {
		ca.NotAfter = at.Add(life) // lists end with their authority
	}
	tbs, algorithm, err := CRLTBS(&ca, big.NewInt(number), revoked, at)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(sign(t, i.key, tbs, algorithm))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func clientTemplate(user string) Template {
	return Template{Profile: ProfileClient, Subject: pkix.Name{CommonName: user}, ValidFor: year}
}

func serverTemplate(cn string, names []string, ips ...net.IP) Template {
	return Template{Profile: ProfileServer, Subject: pkix.Name{CommonName: cn}, DNSNames: names, IPAddresses: ips, ValidFor: year}
}
