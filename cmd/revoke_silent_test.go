package cmd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Of a user who has a certificate of an authority that answers, another one that does not may have issued a second: nothing is revoked, unless that one certificate is meant.
func TestRevokeWithASilentAuthority(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	inventory := filepath.Join(dir, "inventory.yaml")
	write := func(file string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(inventory, []byte(`
vars: {ssh_connect_timeout: 1, ssh_known_hosts: none, ssh_port: 9}
hosts:
  ca1.example.net: {roles: [root_ca], address: 127.0.0.1}
  app1.example.net: {roles: [client], address: 127.0.0.2, identities: {postgres: [dbuser1]}}
authorities:
  clients: {host: ca1.example.net, subject: "CN=root-ca1"}
  company: {external: company.pem}
`))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	make := func(c *x509.Certificate) *x509.Certificate {
		t.Helper()
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	ca = make(ca)
	leaf := make(&x509.Certificate{SerialNumber: big.NewInt(0x4A3F), Subject: pkix.Name{CommonName: "dbuser1"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter})
	write(filepath.Join(dir, "company.pem"), pki.CertificatePEM(ca))
	company := desk.Desk{Dir: filepath.Join(dir, "authorities", "company")}
	request := &desk.Request{Host: "app1.example.net", Template: pki.Template{Profile: pki.ProfileClient, Subject: leaf.Subject, ValidFor: time.Hour}, Made: time.Now(), Public: key.Public()}
	if err := company.Put(request, leaf, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		code  int // 0: whatever becomes of it
		done  int
	}{
		{[]string{"--name", "dbuser1"}, exitUnreachable, 0},
		{[]string{"--host", "app1.example.net", "--all"}, exitUnreachable, 0},
		{[]string{"--serial", "4A3E"}, exitUnreachable, 0},
		{[]string{"--serial", "4A3F"}, 0, 1},
	} {
		var out, errs bytes.Buffer
		sys := OS()
		sys.Out, sys.Err = &out, &errs
		code := Main(append([]string{"revoke", "-y", "-i", inventory}, c.words...), sys)
		asked, err := company.Revoked()
		if err != nil || len(asked) != c.done || c.code != 0 && (code != c.code || !strings.Contains(errs.String(), "hint: --authority NAME asks that one alone")) {
			t.Errorf("%q: exit code %d, %d shall be revoked (%v)\n%s%s", c.words, code, len(asked), err, out.String(), errs.String())
		}
	}
}
