package tasks

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// KeyAuthority is the view key of an authority's probe.
func KeyAuthority(name string) string { return "authority:" + name }

// AuthorityProbe looks at one authority on its host: certificate, chain, newest list, canaries, records, clock. It changes nothing and
// never reads more of the key than its public half. ParseAuthority reads its result.
func AuthorityProbe(a pki.Authority) transport.Step {
	step := caStep(a, time.Time{}, newCARequest("status"))
	step.Key, step.Probe = KeyAuthority(a.Name), true
	return step
}

// AuthorityState is what the probe of an authority saw.
type AuthorityState struct {
	// Time is the host's clock.
	Time time.Time
	// Folder is absent, empty, foreign or ours; Others: what is in a foreign one. Owner is the name written in it.
	Folder, Others, Owner string
	// Open lists files and folders whose owner or mode is wrong.
	Open []string
	// PublicKey of the key on the host; nil: no key. KeyProblem: a key is there but cannot be read.
	PublicKey  crypto.PublicKey
	KeyProblem string
	// Encrypted: the key has a passphrase. Token: it is in a token, and this its URI. Either way its public half is taken from the certificate, and unknown where
	// there is none yet.
	Encrypted bool
	Token     string
	// Certificate of the authority and Chain above it (its root last), nil when not there.
	Certificate *x509.Certificate
	Chain       []*x509.Certificate
	// CRL is the newest list, nil when there is none. NextNumber is the lowest number that a new one may have.
	CRL        *x509.RevocationList
	NextNumber *big.Int
	// Good and Bad are the canaries, Bad the revoked one; nil when not there.
	Good, Bad *x509.Certificate
	// Revoked certificates of the records.
	Revoked []pki.Revoked
	// Program is the SHA-256 of what is installed, in hexadecimal digits, and Policy what it signs by; "" and nil in mode convenient.
	Program string
	Policy  *pki.Policy
	// Differs says where index.txt and the records differ, one fact each.
	Differs []string

	// unlisted are the revoked certificates of the records that the list does not name; one that has ended need not be named.
	unlisted []pki.Revoked
}

// lacking gives the serial number of a certificate that the list should name and does not, "" when there is none.
func (s *AuthorityState) lacking(now time.Time) string {
	for _, r := range s.unlisted {
		if r.Expires.IsZero() || r.Expires.After(now) {
			return pki.FormatSerial(r.Serial)
		}
	}
	return ""
}

// forgotten are the certificates that the list names and that the records, with what they are about to take over from index.txt, do not know to be revoked.
func (s *AuthorityState) forgotten() (out []pki.Revoked) {
	if s.CRL == nil {
		return nil
	}
	for _, e := range s.CRL.RevokedCertificateEntries {
		if !listed(s.Revoked, e.SerialNumber) && !slices.Contains(s.Differs, "revoked "+pki.FormatSerial(e.SerialNumber)) {
			out = append(out, pki.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode, Expires: s.Certificate.NotAfter})
		}
	}
	return out
}

// refuseLost refuses to go on with records that lack what the authority's own list names: the next list would let somebody in again.
func refuseLost(a pki.Authority, s *AuthorityState) error {
	if gone := s.forgotten(); len(gone) > 0 {
		return fmt.Errorf("its list of revoked certificates names %s, which its records do not: they were lost, or come from an old copy. `pgfleet authority restore --records %s` takes into them "+
			"what the fleet has seen: %w", pki.FormatSerial(gone[0].Serial), a.Name, ErrRefused)
	}
	return nil
}

// ParseAuthority reads the result of AuthorityProbe, or of any call of ca.sh that ended with a status.
func ParseAuthority(r transport.Result) (*AuthorityState, error) {
	reply, err := caResult(r)
	if err != nil {
		return nil, err
	}
	answer, err := reply.answer("status")
	if err != nil {
		return nil, err
	}
	if err := answer.err(); err != nil {
		return nil, err
	}
	s := &AuthorityState{Time: reply.Time, Owner: answer.field("name"), KeyProblem: answer.field("keyproblem"),
		Encrypted: answer.field("key") == "encrypted", Differs: answer.Fields["differs"]}
	if uri, ok := strings.CutPrefix(answer.field("key"), "token "); ok {
		s.Token = uri
	}
	s.Folder, s.Others, _ = strings.Cut(strings.TrimSpace(answer.field("directory")), " ")
	for _, mode := range answer.Fields["mode"] {
		if open := wrongMode(mode, answer.field("uid")); open != "" {
			s.Open = append(s.Open, open)
		}
	}
	if err := s.parseFiles(answer); err != nil {
		return nil, err
	}
	if s.Program = answer.field("program"); s.Program != "" {
		policy, err := pki.ParsePolicy(answer.Files["policy"])
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		s.Policy = &policy
	}
	return s, s.parseRevoked(answer)
}

// wrongMode judges "drwx------ 0 keys": owner as wanted, nothing for group and others.
func wrongMode(line, uid string) string {
	f := strings.SplitN(line, " ", 3)
	if len(f) != 3 || len(f[0]) < 10 {
		return line
	}
	switch {
	case f[1] != uid && f[1] != "0":
		return fmt.Sprintf("%s belongs to user %s", f[2], f[1])
	case f[0][4:10] != "------":
		return fmt.Sprintf("%s is open to others (%s)", f[2], f[0])
	}
	return ""
}

// parseFiles reads the files; a file that is there and cannot be read is an error that names it.
func (s *AuthorityState) parseFiles(answer caAnswer) error {
	var err error
	keep := func(what string, e error) {
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", what, e)
		}
	}
	one := func(name, what string) *x509.Certificate {
		data, ok := answer.Files[name]
		if !ok {
			return nil
		}
		certs, e := pki.ParseCertificates(data)
		if e != nil {
			keep(what, e)
			return nil
		}
		return certs[0]
	}
	s.Certificate = one("certificate", "certs/ca.crt")
	for name, to := range map[string]**x509.Certificate{"canary-good": &s.Good, "canary-revoked": &s.Bad} {
		// A record that was taken over from index.txt has no certificate in it.
		if bytes.Contains(answer.Files[name], []byte("-----BEGIN ")) {
			*to = one(name, name)
		}
	}
	if data, ok := answer.Files["chain"]; ok {
		var e error
		s.Chain, e = pki.ParseCertificates(data)
		keep("certs/chain.crt", e)
	}
	if data, ok := answer.Files["crl"]; ok {
		lists, e := pki.ParseCRLs(data)
		keep("crl/ca.crl", e)
		if e == nil {
			s.CRL = lists[0]
		}
	}
	if data, ok := answer.Files["publickey"]; ok {
		var e error
		s.PublicKey, e = pki.ParsePublicKey(data)
		keep("keys/ca.key", e)
	}
	if s.Certificate != nil && answer.field("keysigns") == "yes" {
		s.PublicKey = s.Certificate.PublicKey
	}
	return err
}

func (s *AuthorityState) parseRevoked(answer caAnswer) error {
	s.NextNumber = big.NewInt(1)
	if text := answer.field("crlnumber"); text != "" {
		n, ok := new(big.Int).SetString(text, 16)
		if !ok || n.Sign() < 0 {
			return fmt.Errorf("crlnumber: %.40q is no hexadecimal number", text)
		}
		if n.Cmp(s.NextNumber) > 0 {
			s.NextNumber = n
		}
	}
	if s.CRL != nil && s.CRL.Number != nil && s.CRL.Number.Cmp(s.NextNumber) >= 0 {
		s.NextNumber = new(big.Int).Add(s.CRL.Number, big.NewInt(1))
	}
	for _, line := range answer.Fields["revoked"] {
		r, err := parseRevokedLine(line)
		if err != nil {
			return err
		}
		s.Revoked = append(s.Revoked, r)
		if s.CRL != nil && !pki.Lists(s.CRL, r.Serial) {
			s.unlisted = append(s.unlisted, r)
		}
	}
	return nil
}

// parseRevokedLine reads "SERIAL TIME REASON END" of revoked/SERIAL.
func parseRevokedLine(line string) (pki.Revoked, error) {
	var r pki.Revoked
	f := strings.Fields(line)
	if len(f) < 3 {
		return r, fmt.Errorf("revoked/: line %.80q is cut", line)
	}
	var err error
	if r.Serial, err = pki.ParseSerial(f[0]); err != nil {
		return r, fmt.Errorf("revoked/: %w", err)
	}
	if r.At, err = indexTime(f[1]); err != nil {
		return r, fmt.Errorf("revoked/%s: %w", f[0], err)
	}
	if r.Reason, err = pki.ParseReason(f[2]); err != nil {
		return r, fmt.Errorf("revoked/%s: %w", f[0], err)
	}
	if len(f) > 3 {
		if r.Expires, err = indexTime(f[3]); err != nil {
			return r, fmt.Errorf("revoked/%s: %w", f[0], err)
		}
	}
	return r, nil
}

// indexTime reads a time of openssl's index.txt: YYMMDDhhmmssZ, or with four digits of the year.
func indexTime(text string) (time.Time, error) {
	if len(text) == len("20060102150405Z") {
		return time.Parse("20060102150405Z", text)
	}
	t, err := time.Parse("060102150405Z", text)
	if err != nil {
		return t, fmt.Errorf("time %.20q is not written as YYMMDDhhmmssZ", text)
	}
	// RFC 5280 4.1.2.5.1: 50 to 99 are of the last century; time.Parse changes at 69.
	if t.Year() >= 2050 {
		t = t.AddDate(-100, 0, 0)
	}
	return t, nil
}
