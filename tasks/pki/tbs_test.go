package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTBS(t *testing.T) {
	for _, kind := range []string{"p256", "p384", "p521", "rsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			root := newAuthority(t, nil, "root", 10*year, 1, kind)
			if err := root.cert.CheckSignatureFrom(root.cert); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(root.cert.AuthorityKeyId, root.cert.SubjectKeyId) || len(root.cert.SubjectKeyId) != 20 {
				t.Errorf("key identifiers of the root: %x, %x", root.cert.AuthorityKeyId, root.cert.SubjectKeyId)
			}
			sub := newAuthority(t, root, "sub", 5*year, 0, kind)
			if !sub.cert.IsCA || !sub.cert.MaxPathLenZero || sub.cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
				t.Errorf("authority: CA %v, path length %d, usage %b", sub.cert.IsCA, sub.cert.MaxPathLen, sub.cert.KeyUsage)
			}
			leaf := issue(t, sub, clientTemplate("dbuser1"), newKey(t, kind), now)
			if !bytes.Equal(leaf.AuthorityKeyId, sub.cert.SubjectKeyId) || len(leaf.SubjectKeyId) == 0 || leaf.Version != 3 {
				t.Errorf("leaf: version %d, key identifiers %x, %x", leaf.Version, leaf.AuthorityKeyId, leaf.SubjectKeyId)
			}
			if !leaf.NotBefore.Equal(now.Add(-Backdate)) || !leaf.NotAfter.Equal(now.Add(year)) {
				t.Errorf("leaf: %s to %s", leaf.NotBefore, leaf.NotAfter)
			}
			for _, ext := range root.cert.Extensions {
				if ext.Id.String() == "2.5.29.19" && !ext.Critical {
					t.Error("basicConstraints is not critical")
				}
			}
		})
	}
}

// W14: several names, addresses in both spellings, and no common name at all.
func TestServerNames(t *testing.T) {
	root := newAuthority(t, nil, "root", 10*year, 1, "")
	tmpl := serverTemplate("", []string{"db1.example.net", "db.example.net"}, net.ParseIP("10.88.0.1"), net.ParseIP("fd00::1"))
	cert := issue(t, root, tmpl, newKey(t, "rsa"), now)
	if want := []string{"db1.example.net", "db.example.net", "10.88.0.1", "fd00::1"}; !slices.Equal(cert.DNSNames, want) {
		t.Errorf("DNS names %q, wanted %q", cert.DNSNames, want)
	}
	if len(cert.IPAddresses) != 2 || cert.Subject.CommonName != "" {
		t.Errorf("addresses %v, subject %q", cert.IPAddresses, cert.Subject)
	}
	if cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
		t.Errorf("usage of an RSA server %b", cert.KeyUsage)
	}
	for _, name := range []string{"db1.example.net", "10.88.0.1", "fd00::1"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedTemplates(t *testing.T) {
	root := newAuthority(t, nil, "root", 2*year, 1, "")
	sub := newAuthority(t, root, "sub", year, 0, "")
	edwards := newAuthority(t, nil, "edwards", 2*year, 0, "ed25519")
	leaf := issue(t, root, clientTemplate("u"), newKey(t, ""), now)
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	key := newKey(t, "").Public()
	long := clientTemplate("u")
	long.ValidFor = 3 * year
	for _, c := range []struct {
		name  string
		tmpl  Template
		pub   any
		ca    *x509.Certificate
		want  string
		isDue bool
	}{
		{"beyond the issuer's end", long, key, root.cert, "ends on 2028-05-31", true},
		{"server without names", serverTemplate("db", nil), key, root.cert, "at least one name", false},
		{"client without a user", clientTemplate(""), key, root.cert, "needs a common name", false},
		{"client with names", Template{Profile: ProfileClient, Subject: pkix.Name{CommonName: "u"}, DNSNames: []string{"db"}, ValidFor: year}, key, root.cert, "takes no names", false},
		{"no life", Template{Profile: ProfileClient, Subject: pkix.Name{CommonName: "u"}}, key, root.cert, "a life of", false},
		{"no profile", Template{Subject: pkix.Name{CommonName: "u"}, ValidFor: year}, key, root.cert, "is not one of", false},
		{"common name of 65", clientTemplate(strings.Repeat("x", 65)), key, root.cert, "longer than 64", false},
		{"a tab in the name", clientTemplate("a\tb"), key, root.cert, "control character", false},
		{"broken name", serverTemplate("db", []string{"db1 example"}), key, root.cert, "may hold letters", false},
		{"nul in a name", serverTemplate("db", []string{"db1\x00.example.net"}), key, root.cert, "may hold letters", false},
		{"empty label", serverTemplate("db", []string{"db1..net"}), key, root.cert, "empty part", false},
		{"star in the middle", serverTemplate("db", []string{"db*.example.net"}), key, root.cert, "may hold letters", false},
		{"RSA 1024", clientTemplate("u"), small.Public(), root.cert, "rsa-1024 is not accepted", false},
		{"P-224", clientTemplate("u"), p224.Public(), root.cert, "ecdsa-p224 is not accepted", false},
		{"a leaf as issuer", clientTemplate("u"), key, leaf, "may not sign certificates", false},
		{"authority below path length 0", Template{Profile: ProfileCA, Subject: pkix.Name{CommonName: "x"}, ValidFor: time.Hour}, key, sub.cert, "may not sign authorities", false},
		{"authority that allows too many", Template{Profile: ProfileCA, Subject: pkix.Name{CommonName: "x"}, ValidFor: time.Hour, MaxPathLen: 1}, key, root.cert, "too large", false},
		{"server below Ed25519", serverTemplate("db", []string{"db"}), key, edwards.cert, "Ed25519", false},
	} {
		var pub any
		if c.ca != nil {
			pub = c.ca.PublicKey
		}
		_, _, err := TBS(c.tmpl, c.pub, c.ca, pub, big.NewInt(1), now)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrAuthorityDue) != c.isDue {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, serial := range []*big.Int{nil, big.NewInt(0), big.NewInt(-1), new(big.Int).Lsh(big.NewInt(1), 160)} {
		if _, _, err := TBS(clientTemplate("u"), key, root.cert, root.cert.PublicKey, serial, now); err == nil {
			t.Errorf("serial number %v was accepted", serial)
		}
	}
}

func TestCheckCSR(t *testing.T) {
	key := newKey(t, "")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"evil"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	if pub, err := CheckCSR(der); err != nil || !SameKey(pub, key.Public()) {
		t.Errorf("good request: %v", err)
	}
	broken := slices.Clone(der)
	broken[len(broken)-1] ^= 1
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	weakDER, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"signature": broken, "weak": weakDER, "garbage": []byte("garbage"), "empty": nil, "cut PEM": []byte("-----BEGIN CERTIFICATE REQUEST-----\nMII")} {
		if _, err := CheckCSR(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzCheckCSR(f *testing.F) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(f, ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if pub, err := CheckCSR(data); err == nil && CheckKey(pub) != nil {
			t.Fatal("a weak key was accepted")
		}
	})
}
