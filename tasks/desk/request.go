package desk

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// heading is the first line of requests/*.csr and issued/*.crt. openssl reads over text before a PEM block.
const heading = "pgfleet request 1"

// Request is a certificate that an authority is asked for.
type Request struct {
	// Host holds the key. Template: what is wanted. Made: when.
	Host     string
	Template pki.Template
	Made     time.Time
	// CSR in DER; Public is its key.
	CSR    []byte
	Public crypto.PublicKey
	// File is its path once it is on the desk.
	File string
}

// Answer is a certificate that came back.
type Answer struct {
	Request
	Cert *x509.Certificate
	// Came is when it was taken in.
	Came time.Time
}

// Title names what a request is for: "client dbuser1 on app1.example.net".
func (r *Request) Title() string { return Title(r.Template, r.Host) }

// Title names a certificate that is wanted, and the host with its key.
func Title(t pki.Template, host string) string {
	what := string(t.Profile)
	if t.Profile == pki.ProfileCA {
		what = "authority"
	}
	return fmt.Sprintf("%s %s on %s", what, t.Title(), host)
}

// Ask puts a request on the desk. One for the same key that wants the same stays as it is; one that wants something else is replaced.
func (d Desk) Ask(r Request) (*Request, error) {
	now, err := d.Waiting(r.Public)
	if err != nil {
		return nil, err
	}
	if now != nil && now.Host == r.Host && now.Wants(r.Template) {
		return now, nil
	}
	name, err := fileName(&r)
	if err != nil {
		return nil, err
	}
	r.File = d.path("requests/" + name + ".csr")
	text := describe(&r) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR}))
	if err := d.write("requests/"+name+".csr", []byte(text)); err != nil {
		return nil, err
	}
	if now != nil && now.File != r.File {
		return &r, d.remove(now.File)
	}
	return &r, nil
}

// Requests gives all that waits, in the order of the files' names.
func (d Desk) Requests() ([]Request, error) { return d.requests("") }

// Waiting gives the request for a key, nil when there is none.
func (d Desk) Waiting(pub crypto.PublicKey) (*Request, error) {
	part, err := keyPart(pub)
	if err != nil {
		return nil, err
	}
	all, err := d.requests(part)
	for i := range all {
		if pki.SameKey(all[i].Public, pub) {
			return &all[i], err
		}
	}
	return nil, err
}

func (d Desk) requests(part string) ([]Request, error) {
	names, err := d.names("requests", part, ".csr")
	if err != nil {
		return nil, err
	}
	var out []Request
	for _, name := range names {
		data, err := d.read(name)
		if err != nil {
			return nil, err
		}
		r, _, rest, err := parseText(data)
		if err == nil {
			r.Public, err = pki.CheckCSR(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w: remove it, and the next run asks again", d.path(name), err)
		}
		block, _ := pem.Decode(rest)
		r.CSR, r.File = block.Bytes, d.path(name)
		out = append(out, *r)
	}
	return out, nil
}

// Issued gives everything that came back, or (pub not nil) what came back for a key; the newest last.
func (d Desk) Issued(pub crypto.PublicKey) ([]Answer, error) {
	if pub == nil {
		return d.issued("", func(*x509.Certificate) bool { return true })
	}
	part, err := keyPart(pub)
	if err != nil {
		return nil, err
	}
	return d.issued(part, func(c *x509.Certificate) bool { return pki.SameKey(c.PublicKey, pub) })
}

// Numbered gives what came back with a serial number.
func (d Desk) Numbered(serial *big.Int) ([]Answer, error) {
	return d.issued("-"+pki.FormatSerial(serial)+".crt", func(c *x509.Certificate) bool { return c.SerialNumber.Cmp(serial) == 0 })
}

// issued reads the files that have part in their names, and gives those whose certificate is meant.
func (d Desk) issued(part string, means func(*x509.Certificate) bool) ([]Answer, error) {
	names, err := d.names("issued", part, ".crt")
	if err != nil {
		return nil, err
	}
	var out []Answer
	for _, name := range names {
		data, err := d.read(name)
		if err != nil {
			return nil, err
		}
		r, came, rest, err := parseText(data)
		var certs []*x509.Certificate
		if err == nil {
			certs, err = pki.ParseCertificates(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path(name), err)
		}
		if means(certs[0]) {
			r.File, r.Public = d.path(name), certs[0].PublicKey
			out = append(out, Answer{*r, certs[0], came})
		}
	}
	slices.SortStableFunc(out, func(a, b Answer) int { return a.Came.Compare(b.Came) })
	return out, nil
}

// Put stores what came back for a request, which waits no more.
func (d Desk) Put(r *Request, cert *x509.Certificate, came time.Time) error {
	name, err := fileName(r)
	if err != nil {
		return err
	}
	text := describe(r) + "came: " + came.UTC().Format(time.RFC3339Nano) + "\n" + string(pki.CertificatePEM(cert))
	if err := d.write("issued/"+name+"-"+pki.FormatSerial(cert.SerialNumber)+".crt", []byte(text)); err != nil {
		return err
	}
	return d.remove(r.File)
}

func (d Desk) remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

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
