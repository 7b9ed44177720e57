package tasks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

const year = 365 * 24 * time.Hour

// walkthrough is the layout of W1 to W3: two roots, and an intermediate on a host of its own.
func walkthrough() []pki.Authority {
	return []pki.Authority{
		{Name: "clients", Host: "a", Subject: "CN=root-ca1", ValidFor: 10 * year},
		{Name: "servers_root", Host: "b", Subject: "CN=root-ca2", ValidFor: 10 * year},
		{Name: "servers", Host: "c", Issuer: "servers_root", Subject: "CN=intermediate.example.net,O=Example", ValidFor: 5 * year},
	}
}

// csr makes a key and a request for it.
func csr(t *testing.T) ([]byte, crypto.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ignored"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key.Public()
}

func client(name string) pki.Template {
	return pki.Template{Profile: pki.ProfileClient, Subject: pkix.Name{CommonName: name}, ValidFor: year}
}

func server(names ...string) pki.Template {
	return pki.Template{Profile: pki.ProfileServer, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, ValidFor: year}
}

// W1 to W5, as openssl sees them.
func TestAuthoritiesOfTheWalkthrough(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()...)
	w.mustRun("a", "b", "c")
	ctx := context.Background()
	request, _ := csr(t)
	leaf, err := w.fleet.CA.Issue(ctx, "clients", IssueRequest{CSR: request, Template: client("dbuser1"), Host: "e"})
	if err != nil {
		t.Fatal(err)
	}
	request, _ = csr(t)
	db, err := w.fleet.CA.Issue(ctx, "servers", IssueRequest{CSR: request, Template: server("db1.example.net"), Host: "d"})
	if err != nil {
		t.Fatal(err)
	}
	_, bad, err := w.fleet.CA.Canaries("clients")
	if err != nil {
		t.Fatal(err)
	}
	crls := w.write("crls.pem", append(w.crl("servers"), w.crl("servers_root")...))
	chain, err := w.fleet.CA.Chain("servers")
	if err != nil || len(chain) != 2 {
		t.Fatalf("chain of servers: %d certificates, %v", len(chain), err)
	}
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"client", ": OK", []string{"-purpose", "sslclient", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"), w.write("leaf.pem", pki.CertificatePEM(leaf))}},
		{"client as server", "unsu", []string{"-purpose", "sslserver", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"), w.write("leaf.pem", pki.CertificatePEM(leaf))}},
		{"revoked canary", "certificate revoked", []string{"-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"), w.write("bad.pem", pki.CertificatePEM(bad))}},
		{"server", ": OK", []string{"-purpose", "sslserver", "-verify_hostname", "db1.example.net", "-CAfile", w.path("servers_root", "certs/ca.crt"), "-untrusted", w.path("servers", "certs/ca.crt"), "-CRLfile", crls, w.write("db.pem", pki.CertificatePEM(db))}},
	} {
		args := append([]string{"verify", "-x509_strict", "-crl_check_all"}, c.args...)
		if out, _ := w.openssl(args...); !strings.Contains(out, c.want) {
			t.Errorf("%s: openssl verify says %q, wanted %q", c.name, out, c.want)
		}
	}
}

// crl reads an authority's list.
func (w *caWorld) crl(name string) []byte {
	w.t.Helper()
	list, err := w.fleet.CA.CRL(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return pki.CRLPEM(list)
}
