package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strings"
	"time"
)

// MaxCRLLife is the longest time from thisUpdate to nextUpdate that CRLTBS gives a list.
const MaxCRLLife = 10 * 365 * 24 * time.Hour

// reasons are the reason codes of RFC 5280 5.3.1 by the names that openssl's index.txt uses.
var reasons = map[string]int{
	"unspecified": 0, "keyCompromise": 1, "CACompromise": 2, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5,
	"certificateHold": 6,
}

// ParseReason reads the reason of a revocation, as openssl's index.txt names it: keyCompromise, superseded, cessationOfOperation, ….
func ParseReason(name string) (int, error) {
	if code, ok := reasons[name]; ok {
		return code, nil
	}
	names := make([]string, 0, len(reasons))
	for n := range reasons {
		names = append(names, n)
	}
	sort.Strings(names)
	return 0, fmt.Errorf("reason %q is not one of %s", name, strings.Join(names, ", "))
}

// ReasonName is the inverse of ParseReason; an unknown code is "unspecified".
func ReasonName(code int) string {
	for name, c := range reasons {
		if c == code {
			return name
		}
	}
	return "unspecified"
}

// Revoked is one revoked certificate of an authority's records.
type Revoked struct {
	Serial *big.Int
	// At is the time of the revocation. Expires is the certificate's notAfter, zero when it is not known.
	At, Expires time.Time
	// Reason code, RFC 5280 5.3.1.
	Reason int
}

// CRLTBS gives the bytes of a list of revoked certificates that are to be signed (TBSCertList, RFC 5280 5.1.1.1) and the name of the signature
// algorithm. thisUpdate is Backdate before now; the list ends with its authority, at most MaxCRLLife from now. Certificates that
// expired before now are left out.
func CRLTBS(issuer *x509.Certificate, number *big.Int, revoked []Revoked, now time.Time) (tbs []byte, algorithmName string, err error) {
	title := "list of authority " + CertTitle(issuer)
	end := issuer.NotAfter
	if limit := now.Add(MaxCRLLife); limit.Before(end) {
		end = limit
	}
	if !end.After(now) {
		return nil, "", fmt.Errorf("%s: the authority ended on %s: %w", title, day(issuer.NotAfter), ErrAuthorityDue)
	}
	if algorithmName, err = algorithm(issuer.PublicKey); err != nil {
		return nil, "", err
	}
	list := &x509.RevocationList{
		Number: number, ThisUpdate: now.Add(-Backdate).UTC().Truncate(time.Second), NextUpdate: end.UTC().Truncate(time.Second),
		RevokedCertificateEntries: crlEntries(revoked, now),
	}
	signer := &capture{public: issuer.PublicKey.(crypto.PublicKey)}
	if _, err := x509.CreateRevocationList(nil, list, issuer, signer); !errors.Is(err, errCaptured) {
		return nil, "", fmt.Errorf("%s: %w", title, err)
	}
	return signer.message, algorithmName, nil
}

// crlEntries are the entries in the order of their serial numbers.
func crlEntries(revoked []Revoked, now time.Time) []x509.RevocationListEntry {
	var out []x509.RevocationListEntry
	for _, r := range revoked {
		if !r.Expires.IsZero() && r.Expires.Before(now) {
			continue
		}
		out = append(out, x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.At.UTC().Truncate(time.Second), ReasonCode: r.Reason})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].SerialNumber.Cmp(out[j].SerialNumber) < 0 })
	return out
}

// CheckCRL tells what is wrong with a list for an authority at a time: another authority's, a bad signature, not valid yet, ended, a number
// that does not rise above before's, or a certificate missing that is revoked and has not expired. before and revoked may be nil.
func CheckCRL(list *x509.RevocationList, ca *x509.Certificate, before *x509.RevocationList, revoked []Revoked, now time.Time) error {
	title := "list of authority " + CertTitle(ca)
	if err := BelongsTo(list, ca); err != nil {
		return err
	}
	switch {
	case list.ThisUpdate.After(now):
		return fmt.Errorf("%s is not valid before %s; is a clock wrong?", title, list.ThisUpdate.UTC().Format(time.RFC3339))
	case !list.NextUpdate.After(now):
		return fmt.Errorf("%s ended on %s: every client would be refused", title, list.NextUpdate.UTC().Format(time.RFC3339))
	case list.Number == nil:
		return fmt.Errorf("%s has no number", title)
	case before != nil && before.Number != nil && list.Number.Cmp(before.Number) <= 0:
		return fmt.Errorf("%s has number %d, not above %d of the list before", title, list.Number, before.Number)
	}
	for _, r := range revoked {
		if (r.Expires.IsZero() || r.Expires.After(now)) && !Lists(list, r.Serial) {
			return fmt.Errorf("%s lacks the revoked certificate %s", title, FormatSerial(r.Serial))
		}
	}
	return nil
}

// Dropped gives the entries of the list before that another list lacks.
func Dropped(before, list *x509.RevocationList) []x509.RevocationListEntry {
	kept := make(map[string]bool, len(list.RevokedCertificateEntries))
	for _, e := range list.RevokedCertificateEntries {
		kept[string(e.SerialNumber.Bytes())] = true
	}
	var out []x509.RevocationListEntry
	for _, e := range before.RevokedCertificateEntries {
		if !kept[string(e.SerialNumber.Bytes())] {
			out = append(out, e)
		}
	}
	return out
}

// BelongsTo tells whether a list was signed by an authority that may sign lists; the error says what is wrong.
func BelongsTo(list *x509.RevocationList, ca *x509.Certificate) error {
	if string(list.RawIssuer) != string(ca.RawSubject) {
		return fmt.Errorf("list of %s does not belong to authority %s", FormatSubject(list.Issuer), CertTitle(ca))
	}
	if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("authority %s may not sign lists: its keyUsage lacks cRLSign", CertTitle(ca))
	}
	if err := list.CheckSignatureFrom(ca); err != nil {
		return fmt.Errorf("list of authority %s was not signed by its key: %w", CertTitle(ca), err)
	}
	return nil
}

// Lists tells whether a serial number is on a list.
func Lists(list *x509.RevocationList, serial *big.Int) bool {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}
