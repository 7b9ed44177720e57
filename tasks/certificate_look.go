package tasks

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"
)

//go:embed certificate_look.sh
var certificateLookProgram string

// look is what a probe made with certificate_look.sh saw.
type look struct {
	// UID is who looked.
	UID int
	// Home, Psql and PsqlVersion are an identity's.
	Home, Psql, PsqlVersion string
	// Block is ours in the service file, with its first and last line; Markers the order in which those lines occur ("be": once each).
	// Others are the names of services outside the block.
	Block, Markers string
	Others         []string
	// Paths in the order seen.
	Paths   []string
	Entries map[string]*entry
	// Resolved: names and the addresses that they resolve to.
	Resolved map[string][]string
	// Listed are folders of which every name is among the entries; FOLDER/*.crt: every name that ends so.
	Listed map[string]bool
	// Actor may act on a path ("": root or the login user); Refused says why nobody can. Sum is the SHA-256 of a file in hex.
	Actor, Refused, Sum string
	told                bool
}

// entry is one path.
type entry struct {
	// Kind: absent, file, dir, link, other, unknown (could not be told).
	Kind, Owner, Group string
	Mode               uint32
	ModTime            time.Time
	UID, Size          int
	Path               string
	// Link is a link's target. PEM holds certificates and CRLs of a file, nothing else of it. Public is a key's public half in PEM, empty
	// when it could not be read; Encrypted: the key wants a passphrase. Text is the content of a file that only we write.
	Link, Public, Text string
	PEM                []byte
	Encrypted          bool
}

// entry gives what is at a path; a path that was not looked at counts as unknown, never as absent.
func (l *look) entry(p string) *entry {
	if e := l.Entries[p]; e != nil {
		return e
	}
	if l.Listed[path.Dir(p)+"/*"+path.Ext(p)] {
		return &entry{Kind: "absent", Path: p}
	}
	for above := path.Dir(p); above != "/" && above != "."; above = path.Dir(above) {
		if parent := l.Entries[above]; l.Listed[above] || parent != nil && parent.Kind == "absent" {
			return &entry{Kind: "absent", Path: p}
		} else if parent != nil {
			break
		}
	}
	return &entry{Kind: "unknown", Path: p}
}

// below gives the names directly in a folder, sorted.
func (l *look) below(folder string) []string {
	var out []string
	for _, p := range l.Paths {
		if path.Dir(p) == folder {
			out = append(out, path.Base(p))
		}
	}
	sort.Strings(out)
	return out
}

// certificates of a file, leaf first; nil when one of them cannot be read.
func (e *entry) certificates() []*x509.Certificate {
	var out []*x509.Certificate
	rest := e.PEM
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil
		}
		out = append(out, c)
	}
}

// spki is the public key in DER (SubjectPublicKeyInfo), nil when there is none.
func (e *entry) spki() []byte {
	if b, _ := pem.Decode([]byte(e.Public)); b != nil && b.Type == "PUBLIC KEY" {
		return b.Bytes
	}
	return nil
}

// parseLook reads the output of such a probe. A private key in it, or an end that is missing, is an error.
func parseLook(out []byte) (*look, error) {
	l := &look{Entries: map[string]*entry{}, Listed: map[string]bool{}, Resolved: map[string][]string{}}
	if bytes.Contains(out, []byte("PRIVATE KEY")) {
		return nil, errors.New("the probe printed a private key; nothing was read")
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if lines[len(lines)-1] != "done" {
		return nil, errors.New("the probe was cut off")
	}
	var last *entry
	for i, line := range lines[:len(lines)-1] {
		word, rest, _ := strings.Cut(line, " ")
		var err error
		if word == "entry" {
			if last, err = parseEntry(rest); err == nil {
				l.Paths = append(l.Paths, last.Path)
				l.Entries[last.Path] = last
			}
		} else {
			err = l.set(last, word, rest)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the probe's output: %w", i+1, err)
		}
	}
	return l, nil
}

// set records one line; last is the entry that it may belong to.
func (l *look) set(last *entry, word, rest string) error {
	switch word {
	case "actor":
		// Root says it first; what comes later may come from the actor.
		if l.told {
			return errors.New("a second actor")
		}
		l.Actor, l.told = rest, true
	case "resolved":
		f := strings.Fields(rest)
		if len(f) == 0 {
			return errors.New("resolved names nothing")
		}
		l.Resolved[f[0]] = f[1:]
	case "listed":
		l.Listed[rest] = true
	case "refused":
		l.Refused = rest
	case "sum":
		l.Sum = rest
	case "markers":
		l.Markers = rest
	case "uid":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return fmt.Errorf("uid %q is not a number", rest)
		}
		l.UID = n
	case "encrypted":
		if last == nil {
			return errors.New("no path before it")
		}
		last.Encrypted = true
	default:
		text, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return fmt.Errorf("%s is not base64", word)
		}
		return l.setText(last, word, text)
	}
	return nil
}

func (l *look) setText(last *entry, word string, text []byte) error {
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return errors.New("the probe printed a private key; nothing was read")
	}
	line := strings.TrimSuffix(string(text), "\n")
	switch word {
	case "home":
		l.Home = line
	case "psql":
		l.Psql = line
	case "psqlversion":
		l.PsqlVersion = line
	case "block":
		l.Block = string(text)
	case "others":
		for _, s := range strings.Fields(line) {
			l.Others = append(l.Others, strings.Trim(s, "[]"))
		}
	case "link", "pem", "pub", "text":
		if last == nil {
			return errors.New("no path before it")
		}
		switch word {
		case "link":
			last.Link = line
		case "pem":
			last.PEM = text
		case "pub":
			last.Public = string(text)
		case "text":
			last.Text = string(text)
		}
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

// parseEntry reads "kind owner group mode mtime uid size path".
func parseEntry(rest string) (*entry, error) {
	f := strings.SplitN(rest, " ", 8)
	if len(f) != 8 || !strings.HasPrefix(f[7], "/") {
		return nil, fmt.Errorf("%q is not an entry", rest)
	}
	mode, err1 := strconv.ParseUint(f[3], 8, 32)
	mtime, err2 := strconv.ParseInt(f[4], 10, 64)
	uid, err3 := strconv.Atoi(f[5])
	size, err4 := strconv.Atoi(f[6])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("%q is not an entry: %w", rest, err)
	}
	return &entry{Kind: f[0], Owner: f[1], Group: f[2], Mode: uint32(mode), ModTime: time.Unix(mtime, 0), UID: uid, Size: size, Path: f[7]}, nil
}
