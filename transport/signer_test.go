package transport_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

var signerKeys = []struct{ name, make string }{
	{"EC P-256", `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve`},
	{"EC P-384", `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -pkeyopt ec_param_enc:named_curve`},
	{"RSA 2048", `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`},
	{"Ed25519", `openssl genpkey -algorithm ED25519`},
}

// makeKey makes a key that only postgres can read and gives its public half.
func makeKey(t *testing.T, sb *transporttest.Sandbox, program string) crypto.PublicKey {
	t.Helper()
	sb.Shell("umask 077; install -d -o postgres -g postgres -m 700 /etc/k && " + program + " >/etc/k/key && chown postgres: /etc/k/key")
	block, _ := pem.Decode([]byte(sb.Exec("openssl", "pkey", "-in", "/etc/k/key", "-pubout") + "\n"))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestSigner(t *testing.T) {
	sb := transporttest.NewSandbox(t)
	for _, k := range signerKeys {
		t.Run(k.name, func(t *testing.T) {
			public := makeKey(t, sb, k.make)
			signer, err := transport.NewSigner(t.Context(), sb, "/etc/k/key", "postgres", public)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("signs", func(t *testing.T) { signs(t, signer) })
			t.Run("issues", func(t *testing.T) { issues(t, signer) })
			t.Run("logs in", func(t *testing.T) { logsIn(t, signer) })
		})
	}
}

// signs checks every kind of signature with the standard library.
func signs(t *testing.T, s *transport.Signer) {
	message := []byte("a message\x00with a zero byte")
	digest := sha256.Sum256(message)
	var err error
	both := func(opts crypto.SignerOpts, verify func(signature []byte) error) {
		t.Helper()
		for i, sign := range []func() ([]byte, error){
			func() ([]byte, error) { return s.Sign(rand.Reader, digest[:], opts) },
			func() ([]byte, error) { return s.SignMessage(rand.Reader, message, opts) },
		} {
			signature, err := sign()
			if err == nil {
				err = verify(signature)
			}
			if err != nil {
				t.Errorf("way %d, %#v: %v", i, opts, err)
			}
		}
	}
	switch public := s.Public().(type) {
	case *ecdsa.PublicKey:
		both(crypto.SHA256, func(b []byte) error {
			if !ecdsa.VerifyASN1(public, digest[:], b) {
				t.Error("the signature is wrong")
			}
			return nil
		})
	case *rsa.PublicKey:
		both(crypto.SHA256, func(b []byte) error { return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], b) })
		for _, salt := range []int{rsa.PSSSaltLengthAuto, rsa.PSSSaltLengthEqualsHash, 20} {
			opts := &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256}
			both(opts, func(b []byte) error { return rsa.VerifyPSS(public, crypto.SHA256, digest[:], b, opts) })
		}
	case ed25519.PublicKey:
		var signature []byte
		if signature, err = s.Sign(rand.Reader, message, crypto.Hash(0)); err != nil {
			t.Fatal(err)
		}
		if !ed25519.Verify(public, message, signature) {
			t.Error("the signature is wrong")
		}
	}
	if _, err := s.Sign(rand.Reader, digest[:5], crypto.SHA256); err == nil {
		t.Error("a digest of 5 bytes was signed as SHA-256")
	}
}

func template(ca bool) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "someone"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// issues makes a certificate and a CRL; CreateCertificate verifies its own signature, openssl the list's.
func issues(t *testing.T, s *transport.Signer) {
	der, err := x509.CreateCertificate(rand.Reader, template(true), template(true), s.Public(), s)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, ca, s)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := crl.CheckSignatureFrom(ca); err != nil {
		t.Fatal(err)
	}
}

// logsIn does TLS 1.3 and 1.2 with a client whose key is on the host.
func logsIn(t *testing.T, s *transport.Signer) {
	der, err := x509.CreateCertificate(rand.Reader, template(true), template(true), s.Public(), s)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	_, serverKey, _ := ed25519.GenerateKey(rand.Reader)
	serverDER, err := x509.CreateCertificate(rand.Reader, template(false), template(false), serverKey.Public(), serverKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		here, there := net.Pipe()
		server := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{serverDER}, PrivateKey: serverKey}},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: version, MaxVersion: version})
		client := tls.Client(here, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: s}}, InsecureSkipVerify: true})
		got := make(chan error, 1)
		go func() {
			err := client.HandshakeContext(t.Context())
			if err == nil {
				_, err = client.Read(make([]byte, 1))
			}
			got <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := server.HandshakeContext(ctx)
		if err == nil {
			_, err = server.Write([]byte("x"))
		}
		cancel()
		if clientErr := <-got; err != nil || clientErr != nil {
			t.Errorf("TLS %x: server %v, client %v", version, err, clientErr)
		}
		if err == nil && !bytes.Equal(server.ConnectionState().PeerCertificates[0].Raw, der) {
			t.Error("another certificate arrived")
		}
		here.Close()
		there.Close()
	}
}

func TestSignerFails(t *testing.T) {
	sb := transporttest.NewSandbox(t)
	public := makeKey(t, sb, signerKeys[0].make)
	digest := make([]byte, 32)
	for name, c := range map[string]struct{ path, user string }{"no such file": {"/etc/k/none", "postgres"}, "not readable": {"/etc/k/key", "daemon"}} {
		signer, err := transport.NewSigner(t.Context(), sb, c.path, c.user, public)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := signer.Sign(nil, digest, crypto.SHA256); err == nil {
			t.Errorf("%s: signed %x", name, b)
		} else {
			t.Log(err)
		}
	}
	if _, err := transport.NewSigner(t.Context(), sb, "/k", "", "no key"); err == nil {
		t.Error("a text was taken for a key")
	}
}
