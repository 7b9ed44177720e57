package tasks

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
)

// notLookedAt is the ServedProblem of a probe that made no connection.
const notLookedAt = "not looked at"

// readServed takes what openssl s_client said of a new TLS connection: the certificates presented and the names of the authorities asked for.
func (c *Cluster) readServed(body []byte) {
	code, text, _ := strings.Cut(string(body), "\n")
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			c.Served = append(c.Served, block.Bytes)
		}
	}
	// s_client repeats the leaf under "Server certificate" only without -showcerts; with it each certificate comes once.
	c.ServedCAs = acceptableNames(text)
	if len(c.Served) > 0 || strings.Contains(text, "server does not support SSL") || strings.Contains(text, "rejected") {
		return
	}
	if c.Settings["ssl"].Value != "on" {
		return
	}
	c.ServedProblem = "no certificate was seen by openssl s_client (code " + code + "): " + lastLine(text)
}

// acceptableNames reads the section "Acceptable client certificate CA names", whose lines are dumped as OID=#DER.
func acceptableNames(text string) []string {
	_, section, ok := strings.Cut(text, "\nAcceptable client certificate CA names\n")
	if !ok {
		return nil
	}
	var out []string
	for _, line := range strings.Split(section, "\n") {
		name, err := readDumpedName(line)
		if err != nil {
			break
		}
		out = append(out, name)
	}
	return out
}

// readDumpedName turns "2.5.4.3=#0C01…,2.5.4.10=#…" (openssl's -nameopt oid,dump_all,dump_der,sep_comma_plus) into the text of pkix.RDNSequence.
func readDumpedName(line string) (string, error) {
	var seq pkix.RDNSequence
	for _, part := range strings.Split(line, ",") {
		var set pkix.RelativeDistinguishedNameSET
		for _, pair := range strings.Split(part, "+") {
			attr, err := readDumpedPair(pair)
			if err != nil {
				return "", err
			}
			set = append(set, attr)
		}
		seq = append(seq, set)
	}
	return seq.String(), nil
}

func readDumpedPair(pair string) (attr pkix.AttributeTypeAndValue, err error) {
	oid, value, ok := strings.Cut(strings.TrimSpace(pair), "=#")
	if !ok {
		return attr, fmt.Errorf("%q is no dumped name", clipText(pair))
	}
	for _, part := range strings.Split(oid, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return attr, err
		}
		attr.Type = append(attr.Type, n)
	}
	der, err := hex.DecodeString(value)
	if err != nil {
		return attr, err
	}
	_, err = asn1.Unmarshal(der, &attr.Value)
	return attr, err
}

// subjectText gives a certificate's subject in the form of Cluster.ServedCAs.
func subjectText(cert *x509.Certificate) string {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &seq); err != nil {
		return cert.Subject.String()
	}
	return seq.String()
}
