package pki

import (
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCommonName is ub-common-name of RFC 5280, appendix A, in characters. OpenSSL refuses more.
const maxCommonName = 64

// subjectLimits are the upper bounds of RFC 5280, appendix A, by attribute.
var subjectLimits = map[string]int{"CN": maxCommonName, "O": 64, "OU": 64, "L": 128, "ST": 128, "C": 2}

// ParseSubject reads a subject as "CN=root-ca1,O=Example": attributes CN, O, OU, L, ST and C, separated by commas; a comma, a plus sign or a
// backslash inside a value is written with a backslash before it. "" is the empty subject.
func ParseSubject(text string) (pkix.Name, error) {
	var name pkix.Name
	if strings.TrimSpace(text) == "" {
		return name, nil
	}
	parts, err := splitSubject(text)
	if err != nil {
		return name, err
	}
	for _, part := range parts {
		key, value, found := strings.Cut(part, "=")
		if !found {
			return name, fmt.Errorf("subject %q: %q has no '='; write for example CN=root-ca1,O=Example", text, part)
		}
		value, err := subjectValue(value)
		if err != nil {
			return name, fmt.Errorf("subject %q: %w", text, err)
		}
		if err := setAttribute(&name, strings.ToUpper(strings.TrimSpace(key)), value); err != nil {
			return name, fmt.Errorf("subject %q: %w", text, err)
		}
	}
	return name, nil
}

// splitSubject cuts at commas that have no backslash before them; the escapes stay.
func splitSubject(text string) ([]string, error) {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i++; i == len(text) {
				return nil, fmt.Errorf("subject %q ends with a backslash", text)
			}
		case '+':
			return nil, fmt.Errorf("subject %q: several attributes in one part ('+') are not supported; write \\+ for the sign itself", text)
		case ',':
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:]), nil
}

// subjectValue trims, removes the backslashes and refuses what openssl's index.txt or PostgreSQL cannot hold.
func subjectValue(raw string) (string, error) {
	trimmed := strings.TrimLeft(raw, " \t")
	for len(trimmed) > 0 && trimmed[len(trimmed)-1] == ' ' && !endsEscaped(trimmed[:len(trimmed)-1]) {
		trimmed = trimmed[:len(trimmed)-1]
	}
	var b strings.Builder
	for i := 0; i < len(trimmed); i++ {
		if trimmed[i] == '\\' {
			if i++; i == len(trimmed) {
				return "", fmt.Errorf("%q ends with a backslash", raw)
			}
		}
		b.WriteByte(trimmed[i])
	}
	return b.String(), checkNameText(b.String())
}

// endsEscaped tells whether text ends with a backslash that escapes what follows.
func endsEscaped(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

// checkNameText refuses text that is not UTF-8 or holds control characters.
func checkNameText(value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%q is not UTF-8", value)
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return fmt.Errorf("%q holds a control character", value)
		}
	}
	return nil
}

func setAttribute(name *pkix.Name, key, value string) error {
	limit, known := subjectLimits[key]
	switch n := utf8.RuneCountInString(value); {
	case !known:
		return fmt.Errorf("attribute %q is not one of CN, O, OU, L, ST, C", key)
	case n == 0:
		return fmt.Errorf("%s has no value", key)
	case n > limit:
		return fmt.Errorf("%s is %d characters long, at most %d are allowed", key, n, limit)
	case key == "C" && (n != 2 || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
		return fmt.Errorf("C is a country code of two capital letters, not %q", value)
	case key == "CN" && name.CommonName != "":
		return fmt.Errorf("CN is given twice")
	}
	switch key {
	case "CN":
		name.CommonName = value
	case "O":
		name.Organization = append(name.Organization, value)
	case "OU":
		name.OrganizationalUnit = append(name.OrganizationalUnit, value)
	case "L":
		name.Locality = append(name.Locality, value)
	case "ST":
		name.Province = append(name.Province, value)
	case "C":
		name.Country = append(name.Country, value)
	}
	return nil
}

// FormatSubject writes a subject the way ParseSubject reads it, CN first.
func FormatSubject(name pkix.Name) string {
	var parts []string
	add := func(key string, values ...string) {
		for _, v := range values {
			if v != "" {
				parts = append(parts, key+"="+escapeSubject(v))
			}
		}
	}
	add("CN", name.CommonName)
	add("OU", name.OrganizationalUnit...)
	add("O", name.Organization...)
	add("L", name.Locality...)
	add("ST", name.Province...)
	add("C", name.Country...)
	return strings.Join(parts, ",")
}

// escapeSubject puts a backslash before what ends a value, and before spaces that would be trimmed.
func escapeSubject(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		edge := value[i] == ' ' && (i == 0 || i == len(value)-1)
		if strings.IndexByte(`,+\`, value[i]) >= 0 || edge {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// OnelineSubject writes a subject as openssl's index.txt does (X509_NAME_oneline): /C=DE/O=Example/CN=root, in the order of the certificate,
// with \xHH for every byte outside printable ASCII.
func OnelineSubject(name pkix.Name) string {
	var b strings.Builder
	for _, set := range name.ToRDNSequence() {
		for _, attribute := range set {
			fmt.Fprintf(&b, "/%s=", onelineKeys[attribute.Type.String()])
			for _, c := range []byte(fmt.Sprint(attribute.Value)) {
				if c < ' ' || c > '~' {
					fmt.Fprintf(&b, `\x%02X`, c)
				} else {
					b.WriteByte(c)
				}
			}
		}
	}
	return b.String()
}

// onelineKeys are the short names of RFC 4514 by object identifier.
var onelineKeys = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street", "2.5.4.10": "O",
	"2.5.4.11": "OU", "2.5.4.17": "postalCode",
}
