package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestParseCertificates(t *testing.T) {
	root := newAuthority(t, nil, "root", year, 1, "")
	one := CertificatePEM(root.cert)
	two := append(bytes.Clone(one), one...)
	key, err := x509.MarshalPKCS8PrivateKey(root.key)
	if err != nil {
		t.Fatal(err)
	}
	list := CRLPEM(root.crl(t, 1, 0, now))
	cut := bytes.Replace(two, []byte("-----END CERTIFICATE-----\n"), nil, 1)
	for _, c := range []struct {
		name string
		data []byte
		n    int
		want string
	}{
		{"one", one, 1, ""},
		{"two", two, 2, ""},
		{"CRLF", bytes.ReplaceAll(two, []byte("\n"), []byte("\r\n")), 2, ""},
		{"text between", append(append(bytes.Clone(one), "\nmy root\n\n"...), one...), 2, ""},
		{"no newline at the end", bytes.TrimSpace(one), 1, ""},
		{"DER", root.cert.Raw, 0, "is DER"},
		{"byte order mark", append([]byte("\xef\xbb\xbf"), one...), 0, "byte order mark"},
		{"UTF-16", []byte("\xff\xfe-\x00"), 0, "UTF-16"},
		{"empty", nil, 0, "is empty"},
		{"blank", []byte(" \n"), 0, "is empty"},
		{"garbage", []byte("garbage"), 0, "no certificate in PEM"},
		{"a key in it", append(bytes.Clone(one), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0, "private key"},
		{"a list", list, 0, "a certificate is expected"},
		{"first block broken", cut, 0, "is broken"},
		{"last block cut", two[:len(two)-40], 0, "is broken"},
		{"not a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0, "PEM block 1"},
	} {
		certs, err := ParseCertificates(c.data)
		if len(certs) != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d certificates, %v; wanted %d, %q", c.name, len(certs), err, c.n, c.want)
		}
	}
	if lists, err := ParseCRLs(append(bytes.Clone(list), list...)); err != nil || len(lists) != 2 {
		t.Errorf("two lists: %d, %v", len(lists), err)
	}
	if _, err := ParseCRLs(one); err == nil {
		t.Error("a certificate was read as a list")
	}
	certs, lists, err := ParseBundle(append(bytes.Clone(two), list...))
	if err != nil || len(certs) != 2 || len(lists) != 1 {
		t.Errorf("bundle: %d certificates, %d lists, %v", len(certs), len(lists), err)
	}
}

// What is read can be written and is read as the same again.
func FuzzParseBundle(f *testing.F) {
	root := newAuthority(f, nil, "root", year, 1, "")
	f.Add(CertificatePEM(root.cert, root.cert))
	f.Add(CRLPEM(root.crl(f, 1, 0, now)))
	f.Add(root.cert.Raw)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, lists, err := ParseBundle(data)
		if err != nil {
			return
		}
		if len(certs)+len(lists) == 0 {
			t.Fatal("nothing was read, and no error")
		}
		written := append(CertificatePEM(certs...), CRLPEM(lists...)...)
		again, againLists, err := ParseBundle(written)
		if err != nil || len(again) != len(certs) || len(againLists) != len(lists) {
			t.Fatalf("written and read again: %v", err)
		}
		for i := range certs {
			if !certs[i].Equal(again[i]) {
				t.Fatal("another certificate")
			}
			_ = Describe(certs[i])
			_, _ = Renew(certs[i], RenewPolicy{Template: clientTemplate("u"), Issuer: root.cert}, now)
			_, _ = VerifyChain(certs[i], ChainOptions{Roots: certs, CRLs: lists, Now: now})
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if pub, err := ParsePublicKey(data); err == nil && pub == nil {
			t.Fatal("no key and no error")
		}
	})
}
