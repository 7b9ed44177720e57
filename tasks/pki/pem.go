package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// CertificatePEM writes certificates one after the other as canonical PEM: LF, no text between them.
func CertificatePEM(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

// CRLPEM writes lists of revoked certificates one after the other as canonical PEM.
func CRLPEM(lists ...*x509.RevocationList) []byte {
	var b bytes.Buffer
	for _, l := range lists {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw}))
	}
	return b.Bytes()
}

// ParseCertificates reads every certificate of a PEM file, in order; at least one. Text between the blocks is allowed. Refused, with an
// error that says so: DER, a byte order mark (OpenSSL 1.1.1 refuses it), a private key, broken blocks.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	err := eachBlock(data, "certificate", func(block *pem.Block) error {
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			return fmt.Errorf("is of type %q, a certificate is expected", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		out = append(out, cert)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ParseCRLs reads every list of revoked certificates of a PEM file, as ParseCertificates does with certificates.
func ParseCRLs(data []byte) ([]*x509.RevocationList, error) {
	var out []*x509.RevocationList
	err := eachBlock(data, "list of revoked certificates", func(block *pem.Block) error {
		if block.Type != "X509 CRL" {
			return fmt.Errorf("is of type %q, a list of revoked certificates (X509 CRL) is expected", block.Type)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		out = append(out, list)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ParsePublicKey reads a public key in PEM (SubjectPublicKeyInfo).
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	var pub crypto.PublicKey
	err := eachBlock(data, "public key", func(block *pem.Block) error {
		if block.Type != "PUBLIC KEY" {
			return fmt.Errorf("is of type %q, a public key is expected", block.Type)
		}
		var err error
		pub, err = x509.ParsePKIXPublicKey(block.Bytes)
		return err
	})
	return pub, err
}

// eachBlock calls do for every PEM block and refuses what is no PEM.
func eachBlock(data []byte, what string, do func(*pem.Block) error) error {
	if err := refuseNoPEM(data, what); err != nil {
		return err
	}
	count, rest := 0, data
	for {
		var block *pem.Block
		before := rest
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		count++
		// Decode skips blocks that it cannot read; more than one BEGIN in what it consumed is one such.
		if consumed := before[:len(before)-len(rest)]; bytes.Count(consumed, []byte("-----BEGIN ")) > 1 {
			return fmt.Errorf("PEM block %d is broken", count)
		}
		if err := do(block); err != nil {
			return fmt.Errorf("PEM block %d: %w", count, err)
		}
	}
	if bytes.Contains(rest, []byte("-----BEGIN ")) {
		return fmt.Errorf("PEM block %d is broken", count+1)
	}
	if count == 0 {
		return fmt.Errorf("no %s in PEM found", what)
	}
	return nil
}

func refuseNoPEM(data []byte, what string) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return fmt.Errorf("starts with a byte order mark, which OpenSSL 1.1.1 refuses: save it as UTF-8 without one")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fmt.Errorf("is UTF-16: save it as plain ASCII")
	case len(bytes.TrimSpace(data)) == 0:
		return fmt.Errorf("is empty, a %s in PEM is expected", what)
	case data[0] == 0x30 && !bytes.Contains(data, []byte("-----BEGIN ")):
		return fmt.Errorf("is DER (binary), PEM is expected: convert it with openssl, -inform DER -outform PEM")
	case strings.Contains(string(data), "PRIVATE KEY-----"):
		return fmt.Errorf("holds a private key, which does not belong here: remove it, and consider the key as known to others")
	}
	return nil
}

// ParseBundle reads certificates and lists of revoked certificates from one PEM file, in order; at least one block.
func ParseBundle(data []byte) (certs []*x509.Certificate, lists []*x509.RevocationList, err error) {
	err = eachBlock(data, "certificate", func(block *pem.Block) error {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			certs = append(certs, cert)
			return err
		case "X509 CRL":
			list, err := x509.ParseRevocationList(block.Bytes)
			lists = append(lists, list)
			return err
		}
		return fmt.Errorf("is of type %q, a certificate or a list (X509 CRL) is expected", block.Type)
	})
	return certs, lists, err
}
