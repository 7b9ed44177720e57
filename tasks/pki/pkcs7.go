package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// signedData is the part of RFC 2315 9.1 in which certificates and lists travel. What was signed, if anything, is not looked at: each certificate proves itself.
type signedData struct {
	Version      int
	Digests      asn1.RawValue
	Content      asn1.RawValue
	Certificates rawSet `asn1:"optional,tag:0"`
	Lists        rawSet `asn1:"optional,tag:1"`
	Signers      asn1.RawValue
}

// rawSet is a set whose members are read one by one.
type rawSet struct{ Raw asn1.RawContent }

// members gives what stands in the set, one after the other.
func (s rawSet) members() ([]byte, error) {
	if len(s.Raw) == 0 {
		return nil, nil
	}
	var v asn1.RawValue
	_, err := asn1.Unmarshal(s.Raw, &v)
	return v.Bytes, err
}

// ParsePKCS7 reads the certificates and lists of a PKCS#7 file (p7b, p7c) in DER.
func ParsePKCS7(der []byte) (certs []*x509.Certificate, lists []*x509.RevocationList, err error) {
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return nil, nil, errors.New("is no PKCS#7 in DER")
	}
	if !outer.Type.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) {
		return nil, nil, fmt.Errorf("is PKCS#7 of type %s, signedData is expected", outer.Type)
	}
	var data signedData
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil {
		return nil, nil, errors.New("is broken PKCS#7")
	}
	in, err := data.Certificates.members()
	if err == nil {
		certs, err = x509.ParseCertificates(in)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("PKCS#7: %w", err)
	}
	rest, err := data.Lists.members()
	if err != nil {
		return nil, nil, errors.New("is broken PKCS#7")
	}
	for len(rest) > 0 {
		var one asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &one); err != nil {
			return nil, nil, errors.New("is broken PKCS#7")
		}
		list, err := x509.ParseRevocationList(one.FullBytes)
		if err != nil {
			return nil, nil, fmt.Errorf("PKCS#7: %w", err)
		}
		lists = append(lists, list)
	}
	return certs, lists, nil
}
