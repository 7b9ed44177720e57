package tasks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// limitedRoot is a root of somebody else's that allows less than usual.
func limitedRoot(t *testing.T, limit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Company"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLen: -1}
	limit(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// A certificate that clients would refuse because of what stands above it is not even asked for.
func TestCertificateNotAllowedAbove(t *testing.T) {
	t.Parallel()
	clients := limitedRoot(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	domain := limitedRoot(t, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.net"} })
	inside := server("db1.example.net")
	for name, c := range map[string]struct {
		ca      *x509.Certificate
		foreign bool
		want    pki.Template
		says    string
	}{
		"use":                       {clients, true, inside, "a certificate of authority company for db1 would be refused: wrong use: Company: its extendedKeyUsage lacks serverAuth"},
		"names":                     {domain, true, server("db1.corp.example"), "permit only example.net, so a certificate for db1.corp.example"},
		"addresses as text":         {domain, false, serverAt([4]byte{10, 0, 0, 1}), "permit only example.net, so a certificate for 10.0.0.1"},
		"addresses as text, theirs": {domain, true, serverAt([4]byte{10, 0, 0, 1}), ""},
		"as it shall be":            {domain, false, inside, ""},
	} {
		by := &issuing{name: "company", chain: []*x509.Certificate{c.ca}}
		if c.foreign {
			by.foreign = &pki.Authority{Name: "company", External: "company.pem", Desk: t.TempDir()}
		}
		_, err := (&certificateTask{}).planFor("db1", &holder{Title: "db1", Template: c.want}, by, time.Now())
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func serverAt(ip [4]byte) pki.Template {
	t := server("db1.example.net")
	t.IPAddresses = append(t.IPAddresses[:0:0], ip[:])
	return t
}

// An authority below one that allows none is refused before a key is made.
func TestAuthorityNotAllowedAbove(t *testing.T) {
	t.Parallel()
	root := limitedRoot(t, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	w := newCAWorld(t, pki.Authority{Name: "company", Desk: t.TempDir()}, pki.Authority{Name: "below", Host: "a", Issuer: "company", Subject: "CN=below", ValidFor: 3 * year})
	a := w.fleet.Authorities["company"]
	a.External = w.write("company.pem", pki.CertificatePEM(root))
	w.fleet.Authorities["company"] = a
	changed, err := w.runTask("a", &authorityTask{})
	if changed || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "nothing that it signs below authority company would be accepted: path too long: Company: it allows 0 authorities below it, 1 are needed") {
		t.Errorf("changed %v, %v", changed, err)
	}
}
