package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// A backup that only the lost authority itself could open is none.
func TestSealedToItself(t *testing.T) {
	root := func(name string) *x509.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, NotBefore: now, NotAfter: now.Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	own, other := root("clients"), root("backup")
	b := &backup.Backup{Manifest: backup.Manifest{Sealed: "cms"}, Content: map[string][]byte{"certs/ca.crt": pki.CertificatePEM(own)}}
	if err := sealedToItself(b, pki.CertificatePEM(own)); err == nil || !strings.Contains(err.Error(), "own certificate") {
		t.Errorf("its own: %v", err)
	}
	if err := sealedToItself(b, pki.CertificatePEM(other)); err != nil {
		t.Errorf("somebody else's: %v", err)
	}
	b.Sealed = "age"
	if err := sealedToItself(b, []byte("age1qqqq")); err != nil {
		t.Errorf("age: %v", err)
	}
}
