package desk

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

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
