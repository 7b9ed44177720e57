package desk

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// heading is the first line of requests/*.csr and issued/*.crt. openssl reads over text before a PEM block.
const heading = "pgfleet request 1"

// wish is everything that is asked, as text.
func wish(t pki.Template) string {
	var b strings.Builder
	fmt.Fprintf(&b, "profile: %s\nsubject: %s\n", t.Profile, pki.FormatSubject(t.Subject))
	for _, n := range t.DNSNames {
		fmt.Fprintf(&b, "name: DNS:%s\n", n)
	}
	for _, ip := range t.IPAddresses {
		fmt.Fprintf(&b, "name: IP:%s\n", ip)
	}
	life := t.ValidFor.String()
	if t.ValidFor%(24*time.Hour) == 0 {
		life = fmt.Sprintf("%dd", t.ValidFor/(24*time.Hour))
	}
	fmt.Fprintf(&b, "valid-for: %s\n", life)
	if t.Profile == pki.ProfileCA {
		fmt.Fprintf(&b, "path-length: %d\n", t.MaxPathLen)
	}
	return b.String()
}

func describe(r *Request) string {
	return fmt.Sprintf("%s\nhost: %s\n%smade: %s\n", heading, r.Host, wish(r.Template), r.Made.UTC().Format(time.RFC3339))
}

// parseText reads the text before the PEM block; rest begins with the block.
func parseText(data []byte) (r *Request, came time.Time, rest []byte, err error) {
	r = &Request{}
	at := bytes.Index(data, []byte("-----BEGIN "))
	if at < 0 {
		return r, came, nil, errors.New("holds nothing in PEM")
	}
	lines := strings.Split(strings.TrimSuffix(string(data[:at]), "\n"), "\n")
	if lines[0] != heading {
		return r, came, nil, fmt.Errorf("does not begin with %q", heading)
	}
	for _, line := range lines[1:] {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return r, came, nil, fmt.Errorf("line %.80q is not KEY: VALUE", line)
		}
		if key == "came" {
			came, err = time.Parse(time.RFC3339Nano, value)
		} else {
			err = r.set(key, value)
		}
		if err != nil {
			return r, came, nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if r.Host == "" {
		return r, came, nil, errors.New("names no host")
	}
	return r, came, data[at:], r.Template.Check()
}

func (r *Request) set(key, value string) (err error) {
	t := &r.Template
	switch key {
	case "host":
		r.Host = value
	case "profile":
		t.Profile = pki.Profile(value)
	case "subject":
		t.Subject, err = pki.ParseSubject(value)
	case "name":
		if name, ok := strings.CutPrefix(value, "DNS:"); ok {
			t.DNSNames = append(t.DNSNames, name)
			return nil
		}
		ip := net.ParseIP(strings.TrimPrefix(value, "IP:"))
		if ip == nil {
			return fmt.Errorf("%.80q is neither DNS:NAME nor IP:ADDRESS", value)
		}
		if four := ip.To4(); four != nil {
			ip = four
		}
		t.IPAddresses = append(t.IPAddresses, ip)
	case "valid-for":
		t.ValidFor, err = pki.ParseDuration(value)
	case "path-length":
		t.MaxPathLen, err = strconv.Atoi(value)
	case "made":
		r.Made, err = time.Parse(time.RFC3339, value)
	default:
		return errors.New("is not known")
	}
	return err
}

// keyPart is what names of files have of a key.
func keyPart(pub crypto.PublicKey) (string, error) {
	id, err := pki.KeyID(pub)
	if err != nil {
		return "", err
	}
	return "-" + id[:16], nil
}

// fileName is HOST-NAME-KEY (HOST-KEY where the name is the host's), of letters that every file system has.
func fileName(r *Request) (string, error) {
	key, err := keyPart(r.Public)
	if err != nil {
		return "", err
	}
	safe := func(text string) string {
		text = strings.Map(func(c rune) rune {
			if c < 0x80 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._@", c)) || c == '-' {
				return c
			}
			return '_'
		}, text)
		return strings.TrimLeft(text[:min(len(text), 80)], ".")
	}
	name := safe(r.Host)
	if title := r.Template.Title(); title != r.Host {
		name += "-" + safe(title)
	}
	return name + key, nil
}

// Wants tells whether a request asks for a template.
func (r *Request) Wants(t pki.Template) bool { return wish(r.Template) == wish(t) }
