package cmd

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// recipientHint says how somebody becomes a recipient.
const recipientHint = "age-keygen -o backup.identity makes an identity and prints its recipient, age1…; or, without age: " +
	"openssl req -x509 -newkey rsa:4096 -keyout backup.key -out backup.crt -days 36500 -subj /CN=backup"

// readRecipients gives what the hosts of authorities get: lines for age, or one certificate in PEM. A word is a recipient, or else the file of some.
func readRecipients(given []string) ([]byte, error) {
	var lines [][]byte
	certificates := 0
	for _, word := range given {
		where, data := "line ", []byte(word)
		first, _, _ := strings.Cut(word, "\n") // "$(cat team.txt)"
		if err := backup.CheckRecipient(strings.TrimSpace(first)); err != nil && !isIdentity(data) {
			where = word + ":"
			if data, err = recipientFile(word, err); err != nil {
				return nil, err
			}
		}
		if isIdentity(data) {
			return nil, &usageError{text: "--recipient: that is the secret half, which opens backups", hint: "age-keygen -y FILE prints the recipient; of a key of openssl, the certificate is wanted"}
		}
		if bytes.Contains(data, []byte("-----BEGIN")) {
			certs, err := pki.ParseCertificates(data)
			if err == nil {
				err = backup.CheckCertificate(certs[0])
			}
			if err != nil {
				return nil, &usageError{text: fmt.Sprintf("--recipient %s: %v", word, err), hint: recipientHint}
			}
			certificates++
			lines = append(lines, pki.CertificatePEM(certs[0]))
			continue
		}
		for n, line := range bytes.Split(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\n")) {
			line = bytes.TrimSpace(line)
			if len(line) == 0 || line[0] == '#' {
				continue
			}
			// What the line says is not told: nobody knows what file that is.
			if err := backup.CheckRecipient(string(line)); err != nil {
				return nil, &usageError{text: fmt.Sprintf("--recipient %s%d: the line %v; nor is this a certificate in PEM", where, n+1, err), hint: recipientHint}
			}
			lines = append(lines, line)
		}
	}
	switch {
	case len(lines) == 0 && len(given) > 0:
		return nil, &usageError{text: fmt.Sprintf("--recipient %s: there is no recipient in it", given[0]), hint: recipientHint}
	case len(lines) == 0:
		return nil, &usageError{text: "authority backup: say with --recipient who can open it", hint: recipientHint}
	case certificates > 0 && len(lines) > 1:
		return nil, usagef("--recipient: a certificate is the only recipient; several can be given for age")
	}
	return bytes.Join(lines, []byte("\n")), nil
}

// recipientFile reads what was given where it is no recipient, for the reason mistake.
func recipientFile(word string, mistake error) ([]byte, error) {
	data, err := readFile(word)
	switch {
	case err == nil:
		return data, nil
	case strings.HasPrefix(word, "age1") || strings.HasPrefix(word, "ssh-"):
		return nil, &usageError{text: fmt.Sprintf("--recipient %s: %v", word, mistake), hint: recipientHint}
	}
	return nil, &usageError{text: "--recipient: neither age1…, ssh-… nor a file: " + err.Error(), hint: recipientHint}
}

// isIdentity tells whether somebody gave the secret half of a pair.
func isIdentity(data []byte) bool {
	return bytes.Contains(data, []byte("AGE-SECRET-KEY-")) || bytes.Contains(data, []byte("PRIVATE KEY-----"))
}
