package pki

import (
	"crypto/x509/pkix"
	"fmt"
	"strings"
)

// RequestConfig is the configuration with which openssl req (1.0.2 on) makes a request that asks for a template: its subject, names and use, for authorities
// that go by what a request says.
func RequestConfig(t Template) string {
	var b strings.Builder
	b.WriteString("[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n")
	b.WriteString(distinguishedName(t))
	fmt.Fprintf(&b, "[ext]\n%s", strings.Join(extensions(t), "\n")+"\n")
	return b.String()
}

// ExtensionFile is what openssl x509 -extfile and openssl ca -extfile want to sign a template.
func ExtensionFile(t Template) string {
	return strings.Join(append(extensions(t), "subjectKeyIdentifier = hash", "authorityKeyIdentifier = keyid"), "\n") + "\n"
}

// distinguishedName are the lines of a section dn; an attribute that is there several times is numbered.
func distinguishedName(t Template) string {
	subject := t.Subject
	if len(subject.ToRDNSequence()) == 0 {
		subject = pkix.Name{CommonName: t.Title()} // openssl makes no request without a subject
	}
	var b strings.Builder
	n := 0
	for _, set := range subject.ToRDNSequence() {
		for _, attribute := range set {
			n++
			fmt.Fprintf(&b, "%d.%s = %s\n", n, onelineKeys[attribute.Type.String()], configValue(fmt.Sprint(attribute.Value)))
		}
	}
	return b.String()
}

// RequestSubject writes a subject for openssl's option -subj: /CN=x/O=y, with a backslash before what would mean something else.
func RequestSubject(name pkix.Name) string {
	var b strings.Builder
	for _, set := range name.ToRDNSequence() {
		for _, attribute := range set {
			value := strings.NewReplacer(`\`, `\\`, "/", `\/`, "+", `\+`).Replace(fmt.Sprint(attribute.Value))
			fmt.Fprintf(&b, "/%s=%s", onelineKeys[attribute.Type.String()], value)
		}
	}
	return b.String()
}

// configValue quotes a value for an openssl configuration (config(5ssl)): in quotes only the backslash and the quote mean anything.
func configValue(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func extensions(t Template) []string {
	if t.Profile == ProfileCA {
		constraints := "basicConstraints = critical, CA:TRUE"
		if t.MaxPathLen >= 0 {
			constraints += fmt.Sprintf(", pathlen:%d", t.MaxPathLen)
		}
		return []string{constraints, "keyUsage = critical, keyCertSign, cRLSign"}
	}
	out := []string{"basicConstraints = critical, CA:FALSE", "keyUsage = critical, digitalSignature", "extendedKeyUsage = " + string(t.Profile) + "Auth"}
	var names []string
	for _, n := range t.sanNames() {
		names = append(names, "DNS:"+n)
	}
	for _, ip := range t.IPAddresses {
		names = append(names, "IP:"+ip.String())
	}
	if len(names) > 0 {
		out = append(out, "subjectAltName = "+strings.Join(names, ", "))
	}
	return out
}
