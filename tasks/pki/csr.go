package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// CheckCSR reads a certificate request (PKCS#10, DER or PEM), checks its self-signature and the strength of its key, and gives that public key.
// Nothing else in a request is ever used.
func CheckCSR(data []byte) (crypto.PublicKey, error) {
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fmt.Errorf("certificate request expected, this is a PEM block of type %q", block.Type)
		}
		data = block.Bytes
	} else if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("certificate request: broken PEM")
	}
	csr, err := x509.ParseCertificateRequest(data)
	if err != nil {
		return nil, fmt.Errorf("read certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request is not signed by its own key: %w", err)
	}
	if err := CheckKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return csr.PublicKey, nil
}
