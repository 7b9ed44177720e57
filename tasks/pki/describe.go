package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// CertTitle names a certificate in one word or two: its common name, else its first other name, else its serial number.
func CertTitle(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	case cert.SerialNumber != nil:
		return FormatSerial(cert.SerialNumber)
	}
	return "without a name"
}

// Fingerprint is the SHA-256 of the certificate's DER as openssl prints it: upper-case hex, colons between the bytes.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

// Names are all names of a certificate's subjectAltName: DNS names, then addresses that are not there as text already.
func Names(cert *x509.Certificate) []string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return unique(names)
}

// Describe gives a certificate for a diff, one fact a line: subject, names, use, key, dates, issuer, serial number, SHA-256 fingerprint.
func Describe(cert *x509.Certificate) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", key+":", value)
		}
	}
	line("subject", FormatSubject(cert.Subject))
	line("names", strings.Join(Names(cert), " "))
	line("use", usage(cert))
	line("key", KeyType(cert.PublicKey))
	line("not before", cert.NotBefore.UTC().Format(time.RFC3339))
	line("not after", cert.NotAfter.UTC().Format(time.RFC3339))
	line("issuer", FormatSubject(cert.Issuer))
	line("serial", FormatSerial(cert.SerialNumber))
	line("sha256", Fingerprint(cert))
	return b.String()
}

func usage(cert *x509.Certificate) string {
	var uses []string
	if cert.IsCA {
		uses = append(uses, "authority")
	}
	for _, u := range cert.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			uses = append(uses, "server")
		case x509.ExtKeyUsageClientAuth:
			uses = append(uses, "client")
		case x509.ExtKeyUsageAny:
			uses = append(uses, "anyExtendedKeyUsage")
		}
	}
	return strings.Join(uses, ", ")
}
