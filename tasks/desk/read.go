package desk

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Read reads a file that an authority's owner sent: certificates and lists of revoked certificates in PEM, a PKCS#7 chain (BEGIN PKCS7) among them; at least one. Text
// between the blocks is allowed. The error says what else the file is, and how to convert it.
func Read(data []byte) (certs []*x509.Certificate, lists []*x509.RevocationList, err error) {
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	if len(data) > 0 && data[0] == 0x30 && !bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, nil, binary(data)
	}
	plain, err := unpacked(data)
	if err != nil {
		return nil, nil, err
	}
	return pki.ParseBundle(plain)
}

// binary says which kind of DER a file is.
func binary(data []byte) error {
	kind := ""
	if _, err := x509.ParseCertificate(data); err == nil {
		kind = "x509"
	} else if _, err := x509.ParseRevocationList(data); err == nil {
		kind = "crl"
	} else if _, _, err := pki.ParsePKCS7(data); err == nil {
		return errors.New("is PKCS#7 in DER (binary), PEM is expected: convert it with openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem")
	} else {
		return errors.New("is binary, and neither a certificate, a list of revoked certificates nor PKCS#7; PEM is expected")
	}
	return fmt.Errorf("is DER (binary), PEM is expected: convert it with openssl %s -inform DER -in FILE -out FILE.pem", kind)
}

// unpacked replaces PKCS#7 blocks by what is in them.
func unpacked(data []byte) ([]byte, error) {
	var out bytes.Buffer
	for {
		at := bytes.Index(data, []byte("-----BEGIN PKCS7-----"))
		if at < 0 {
			out.Write(data)
			return out.Bytes(), nil
		}
		out.Write(data[:at])
		block, rest := pem.Decode(data[at:])
		if block == nil || block.Type != "PKCS7" {
			return nil, errors.New("holds a broken PKCS7 block")
		}
		certs, lists, err := pki.ParsePKCS7(block.Bytes)
		if err != nil {
			return nil, err
		}
		out.Write(pki.CertificatePEM(certs...))
		out.Write(pki.CRLPEM(lists...))
		data = rest
	}
}
