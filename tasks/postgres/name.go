package postgres

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode/utf8"
)

// nameKeys are the short names of attributes as OpenSSL writes them.
var nameKeys = map[string]string{"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O",
	"2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.17": "postalCode", "1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC"}

// shownName is the number of bytes of a name that pg_stat_ssl keeps (NAMEDATALEN - 1).
const shownName = 63

// IsName tells whether a name that pg_stat_ssl shows (client_dn, issuer_dn) is the name raw, a Name of a certificate in DER. There it is written as
// /C=DE/O=Example/CN=root, special characters with a backslash before them, cut after 63 bytes.
func IsName(shown string, raw []byte) bool {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) > 0 {
		return false
	}
	var b strings.Builder
	for _, set := range name {
		for _, a := range set {
			key := nameKeys[a.Type.String()]
			if key == "" {
				key = a.Type.String()
			}
			fmt.Fprintf(&b, "/%s=%v", key, a.Value)
		}
	}
	bare := strings.NewReplacer(`\`, "")
	want, is := bare.Replace(b.String()), bare.Replace(shown)
	cut := len(shown) >= shownName-2 // a character that was cut in its middle takes up to three bytes
	if cut {
		is = strings.TrimRight(is, "\uFFFD")
	}
	if strings.Contains(is, "\uFFFD") { // in the encoding of a database that is not UTF-8: what is ASCII counts
		is, want = asciiOf(is), asciiOf(want)
	}
	return is == want || cut && strings.HasPrefix(want, is)
}

// asciiOf writes every run of other characters as one.
func asciiOf(name string) string {
	var b strings.Builder
	other := false
	for _, r := range name {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else if !other {
			b.WriteRune(utf8.RuneError)
		}
		other = r >= utf8.RuneSelf
	}
	return b.String()
}
