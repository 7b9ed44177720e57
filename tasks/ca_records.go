package tasks

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// Issued is one certificate that an authority has issued, as its records have it.
type Issued struct {
	// Authority that issued it, by its name in the inventory.
	Authority string
	Serial    *big.Int
	// Expires is its notAfter.
	Expires time.Time
	// Profile, "imported" for what was taken over from index.txt. Host holds its key, by its name in the inventory then, "" when that is not known.
	Profile pki.Profile
	Host    string
	// Subject as openssl's index.txt writes it: /CN=dbuser1, "" where all names are in subjectAltName.
	Subject string
	// Revoked is nil when it is not.
	Revoked *pki.Revoked
}

// Certificate is how the kinds revoke, crl and postgres_sessions name it: AUTHORITY:SERIAL.
func (i Issued) Certificate() string { return i.Authority + ":" + pki.FormatSerial(i.Serial) }

// KeyIssued is the view key of the probe of an authority's records.
func KeyIssued(name string) string { return "issued:" + name }

// IssuedProbe reads the records of an authority on its host, and its state (see AuthorityProbe). It changes nothing.
func IssuedProbe(a pki.Authority) transport.Step {
	step := caStep(a, time.Time{}, newCARequest("list"), newCARequest("status"))
	step.Key, step.Probe = KeyIssued(a.Name), true
	return step
}

// IssuedBy reads the result of IssuedProbe: every certificate on record, in the order of the serial numbers, and the authority's own certificate. Of an
// authority that is not made yet there is none.
func IssuedBy(name string, r transport.Result) ([]Issued, *x509.Certificate, error) {
	reply, err := caResult(r)
	if err != nil {
		return nil, nil, err
	}
	state, err := ParseAuthority(r)
	if err != nil || state.Folder != "ours" {
		return nil, nil, err
	}
	list, err := reply.answer("list")
	if err == nil {
		err = list.err()
	}
	if err != nil {
		return nil, nil, err
	}
	revoked := make(map[string]*pki.Revoked, len(state.Revoked))
	for i, known := range state.Revoked {
		revoked[known.Serial.String()] = &state.Revoked[i]
	}
	var out []Issued
	for _, line := range list.Fields["issued"] {
		i, err := parseIssued(line)
		if err != nil {
			return nil, nil, err
		}
		i.Authority = name
		i.Revoked = revoked[i.Serial.String()]
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Issued) int { return a.Serial.Cmp(b.Serial) })
	return out, state.Certificate, nil
}

// parseIssued reads "SERIAL END PROFILE HOST SUBJECT".
func parseIssued(line string) (Issued, error) {
	f := strings.SplitN(line, " ", 5)
	if len(f) != 5 {
		return Issued{}, fmt.Errorf("issued/: line %.80q is cut", line)
	}
	i := Issued{Profile: pki.Profile(f[2]), Host: strings.TrimPrefix(f[3], "-"), Subject: f[4]}
	var err error
	if i.Serial, err = pki.ParseSerial(f[0]); err == nil {
		i.Expires, err = indexTime(f[1])
	}
	if err != nil {
		return i, fmt.Errorf("issued/%.40s: %w", f[0], err)
	}
	return i, nil
}

// namedCertificate is AUTHORITY:SERIAL as a task names a certificate.
type namedCertificate struct {
	authority string
	serial    *big.Int
}

// readCertificates reads a parameter that names certificates.
func readCertificates(words []string) (out []namedCertificate, errs []*ParamError) {
	for _, word := range words {
		name, digits, ok := strings.Cut(word, ":")
		serial, err := pki.ParseSerial(digits)
		switch {
		case !ok || name == "":
			errs = append(errs, &ParamError{"certificates", fmt.Sprintf("%q is not AUTHORITY:SERIAL, for example clients:4A3F", word)})
		case err != nil:
			errs = append(errs, &ParamError{"certificates", err.Error()})
		default:
			out = append(out, namedCertificate{name, serial})
		}
	}
	return out, errs
}

// authoritiesOf are the authorities that certificates are named with, for Relying.
func authoritiesOf(words []string) map[string][]string {
	named, _ := readCertificates(words)
	var out []string
	for _, c := range named {
		if !slices.Contains(out, c.authority) {
			out = append(out, c.authority)
		}
	}
	return map[string][]string{"certificates": out}
}
