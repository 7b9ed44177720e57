package tasks

import (
	"bytes"
	_ "embed" // ca_keep.sh
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed ca_keep.sh
var keepProgram string

// keepMark is the line of ca.sh behind its functions.
const keepMark = "\n# ---- what is asked for\n"

// keepStep is caStep with the requests of ca_keep.sh. files, if not nil, follow the last request.
func keepStep(a pki.Authority, now time.Time, files map[string][]byte, request caRequest) transport.Step {
	step := caStep(a, now, request)
	step.Shell = strings.Replace(caProgram, keepMark, "\n"+keepProgram+keepMark, 1)
	if files == nil {
		return step
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "file %s\n", name)
		for line := range strings.Lines(string(files[name])) {
			b.WriteString("|" + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	b.WriteString("end\n")
	step.Stdin = append(step.Stdin, b.Bytes()...)
	return step
}

// KeyBackup is the view key of a backup of an authority.
func KeyBackup(name string) string { return "backup:" + name }

// BackupProbe has an authority's host encrypt the key, as it lies in its file, to a recipient, and reads everything else of the authority. It changes
// nothing. recipient is lines for age (age1…, ssh-…), or one certificate in PEM, for which openssl encrypts it. A key in a token stays there.
func BackupProbe(a pki.Authority, recipient []byte) transport.Step {
	sealing := "age"
	if bytes.Contains(recipient, []byte("-----BEGIN CERTIFICATE-----")) {
		sealing = "cms"
	}
	if a.Key != "" {
		sealing, recipient = "", nil
	}
	step := keepStep(a, time.Time{}, nil, newCARequest("backup", "sealing", sealing, "recipient", octal(bytes.TrimSpace(recipient))))
	step.Key, step.Probe = KeyBackup(a.Name), true
	return step
}

// Backup reads the result of BackupProbe. ErrRefused when the host did not do it.
func Backup(a pki.Authority, r transport.Result) (*backup.Backup, error) {
	reply, err := caResult(r)
	if err != nil {
		return nil, err
	}
	answer, err := reply.answer("backup")
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return nil, err
	}
	if _, err := pki.ParseCertificates(answer.Files["certs/ca.crt"]); err != nil {
		return nil, fmt.Errorf("authority %s: %s/certs/ca.crt: %w: %w", a.Name, a.DirOrDefault(), err, ErrRefused)
	}
	b := &backup.Backup{Content: answer.Files, Manifest: backup.Manifest{Authority: a.Name, Host: a.Host, Dir: a.DirOrDefault(), Made: reply.Time.UTC(),
		Passphrase: answer.field("key") == "encrypted"}}
	for name := range b.Content {
		if sealing, ok := strings.CutPrefix(name, "keys/ca.key."); ok {
			b.Sealed = sealing
		} else if name == "keys/ca.pkcs11" {
			b.Sealed = "token"
		}
	}
	// Nothing else that may lie there is part of an authority.
	maps.DeleteFunc(b.Content, func(name string, _ []byte) bool { return !backup.Belongs(name) })
	return b, nil
}

// keptFiles is what is sent to restore a backup, and what the fleet has seen is added to it. b nil: only that.
func keptFiles(b *backup.Backup, seen *survey.Seen) (map[string][]byte, error) {
	files := map[string][]byte{}
	number := big.NewInt(1)
	if b != nil {
		maps.Copy(files, b.Content)
		delete(files, "policy")
		delete(files, "authority")
		if n, ok := new(big.Int).SetString(strings.TrimSpace(string(b.Content["crlnumber"])), 16); ok {
			number = n
		}
	}
	if seen.Number != nil && seen.Number.Cmp(number) >= 0 {
		number = new(big.Int).Add(seen.Number, big.NewInt(1))
	}
	files["crlnumber"] = []byte(pki.FormatSerial(number) + "\n")
	for _, d := range seen.Certificates {
		serial := pki.FormatSerial(d.Cert.SerialNumber)
		if _, known := files["issued/"+serial]; known {
			continue
		}
		record, err := recordOf(d)
		if err != nil {
			return nil, err
		}
		files["issued/"+serial] = record
	}
	for _, r := range seen.Revoked {
		serial := pki.FormatSerial(r.Serial)
		if _, known := files["revoked/"+serial]; !known {
			files["revoked/"+serial] = fmt.Appendf(nil, "%s %s %s %s\n", serial, writeIndexTime(r.At), pki.ReasonName(r.Reason), writeIndexTime(r.Expires))
		}
	}
	return files, nil
}

// recordOf is the record of a certificate that was found on a host.
func recordOf(d survey.Deployed) ([]byte, error) {
	serial := pki.FormatSerial(d.Cert.SerialNumber)
	key, err := pki.KeyID(d.Cert.PublicKey)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "pgfleet 1\nserial %s\n", serial)
	if d.Host != "" {
		fmt.Fprintf(&b, "request seen-%s\nhost %s\n", serial, d.Host)
	}
	// Also where nobody's host is known: in mode restricted an authority keeps the key that is on record for it.
	fmt.Fprintf(&b, "key %s\n", key)
	fmt.Fprintf(&b, "profile %s\nsubject %s\n%sexpires %s\n", d.Profile, pki.OnelineSubject(d.Cert.Subject), pki.CertificatePEM(d.Cert), writeIndexTime(d.Cert.NotAfter))
	return b.Bytes(), nil
}

// writeIndexTime writes a time as openssl's index.txt has it.
func writeIndexTime(t time.Time) string {
	if t = t.UTC(); t.Year() >= 2050 {
		return t.Format("20060102150405Z")
	}
	return t.Format("060102150405Z")
}
