package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// KeyTypes are the types of key that an authority may have, the default first.
func KeyTypes() []string {
	return []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"}
}

// CheckKeyType refuses a type of key that is not one of KeyTypes; "" is the default and fine.
func CheckKeyType(name string) error {
	if name == "" || slices.Contains(KeyTypes(), name) {
		return nil
	}
	return fmt.Errorf("key type %q is not one of %s", name, strings.Join(KeyTypes(), ", "))
}

// KeyType names a public key the way KeyTypes does; ecdsa-p521 and other RSA sizes get their name as well.
func KeyType(pub crypto.PublicKey) string {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		return "ecdsa-" + strings.ToLower(strings.ReplaceAll(key.Curve.Params().Name, "-", ""))
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa-%d", key.N.BitLen())
	case ed25519.PublicKey:
		return "ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

// CheckKey refuses public keys that are too weak, too large, or that PostgreSQL's clients cannot use: allowed are EC P-256, P-384 and P-521,
// RSA from 2048 to 4096 bits with an odd exponent from 65537 on, and Ed25519.
func CheckKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 4096 && key.E >= 65537 && key.E%2 == 1 {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("key of type %s is not accepted: use EC P-256, P-384 or P-521, RSA 2048 to 4096, or Ed25519", KeyType(pub))
}

// SameKey tells whether two public keys are equal.
func SameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && b != nil && key.Equal(b)
}

// KeyID is the SHA-256 of a public key's SubjectPublicKeyInfo in lower-case hex.
func KeyID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// algorithm is the name of the signature algorithm that an authority with this key uses; ca.sh knows the same names.
func algorithm(pub crypto.PublicKey) (string, error) {
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "ecdsa-with-SHA256", nil
		case elliptic.P384():
			return "ecdsa-with-SHA384", nil
		case elliptic.P521():
			return "ecdsa-with-SHA512", nil
		}
	case *rsa.PublicKey:
		return "sha256WithRSAEncryption", nil
	case ed25519.PublicKey:
		return "ed25519", nil
	}
	return "", fmt.Errorf("cannot sign with a key of type %s", KeyType(pub))
}
