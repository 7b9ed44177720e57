package tasks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// readSecret resolves a reference {env: NAME} | {file: PATH} | {command: [WORD …]} on the controller. One line break at the end is dropped. Errors never hold
// what was read.
func readSecret(ctx context.Context, ref map[string]any) (string, error) {
	if len(ref) != 1 {
		return "", errors.New("the reference has to be one of env, file, command")
	}
	var text []byte
	for kind, value := range ref {
		switch kind {
		case "env":
			name := fmt.Sprint(value)
			s, ok := os.LookupEnv(name)
			if !ok {
				return "", fmt.Errorf("environment variable %s is not set", name)
			}
			text = []byte(s)
		case "file":
			b, err := os.ReadFile(fmt.Sprint(value))
			if err != nil {
				return "", err
			}
			text = b
		case "command":
			words, err := stringList(value)
			if err != nil || len(words) == 0 {
				return "", errors.New("command wants a list of words")
			}
			if text, err = exec.CommandContext(ctx, words[0], words[1:]...).Output(); err != nil {
				return "", fmt.Errorf("command %s: %w", words[0], err)
			}
		default:
			return "", fmt.Errorf("the reference has to be one of env, file, command, not %s", kind)
		}
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return "", errors.New("it is empty")
	}
	return string(text), nil
}

// scramIterations is PostgreSQL's default (scram_iterations).
const scramIterations = 4096

// scramVerifier gives what PostgreSQL stores for a password (manual, 53.8 pg_authid; RFC 5802, 3), with a new salt.
func scramVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt)
	return scramVerifierSalted(password, salt, scramIterations)
}

func scramVerifierSalted(password string, salt []byte, iterations int) (string, error) {
	prepared, err := saslPrep(password)
	if err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, prepared, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(mac("Server Key"))), nil
}

// saslPrep is the part of SASLprep (RFC 4013) that ordinary passwords meet: other blanks become a space, the text is brought to NFKC. Text with characters that RFC 4013
// maps to nothing or prohibits is refused: libpq and the server would not agree on it.
func saslPrep(password string) (string, error) {
	var b strings.Builder
	for _, r := range password {
		switch {
		case r == 0xfffd, r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0, r == 0xad, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e,
			r >= 0x2060 && r <= 0x206f, r >= 0xe000 && r <= 0xf8ff, r == 0xfeff, r >= 0xfff0 && r <= 0xffff, r >= 0xe0000:
			return "", fmt.Errorf("it holds a character (%U) that a password for SCRAM may not have", r)
		case r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a, r == 0x202f, r == 0x205f, r == 0x3000:
			r = ' '
		}
		b.WriteRune(r)
	}
	return norm.NFKC.String(b.String()), nil
}
