package tasks

import (
	"bytes"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
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
	// Home and Psql are an identity's.
	Home, Psql string
	// Block is ours in the service file, with its first and last line; Markers the order in which those lines occur ("be": once each).
	// Others are the names of services outside the block.
	Block, Markers string
	Others         []string
	// Paths in the order seen.
	Paths   []string
	Entries map[string]*entry
	// Time is the host's, in whole seconds; zero where it does not tell.
	Time time.Time
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
	var text textSink
	for i, line := range lines[:len(lines)-1] {
		var err error
		if rest, ok := strings.CutPrefix(line, "|"); ok && text != nil {
			text(rest)
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if text, err = l.set(word, rest); err != nil {
			return nil, fmt.Errorf("line %d of the probe's output: %w", i+1, err)
		}
	}
	l.judge()
	return l, nil
}

// textSink takes the lines of a text, one after the other.
type textSink func(line string)

// judge ends what was said in pieces: what could not be looked at is unknown, and a text ends as its file does.
func (l *look) judge() {
	for _, e := range l.Entries {
		if e.Owner == "" && e.Kind != "absent" {
			e.Kind = "unknown"
		}
		if e.Text != "" && len(e.Text) == e.Size+1 {
			e.Text = strings.TrimSuffix(e.Text, "\n")
		}
	}
}

// set records one line, and gives what takes the lines of the text that it announces, nil when it announces none.
func (l *look) set(word, rest string) (textSink, error) {
	switch word {
	case "entry":
		kind, p, _ := strings.Cut(rest, " ")
		if !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("%q is not an entry", rest)
		}
		l.Paths = append(l.Paths, p)
		l.Entries[p] = &entry{Kind: kind, Path: p}
	case "meta":
		return nil, l.setMeta(rest)
	case "actor":
		// Root says it first; what comes later may come from the actor.
		if l.told {
			return nil, errors.New("a second actor")
		}
		l.Actor, l.told = rest, true
	case "resolved":
		f := strings.Fields(rest)
		if len(f) == 0 {
			return nil, errors.New("resolved names nothing")
		}
		slices.Sort(f[1:])
		l.Resolved[f[0]] = slices.Compact(f[1:])
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
			return nil, fmt.Errorf("uid %q is not a number", rest)
		}
		l.UID = n
	case "home":
		return func(line string) { l.Home = line }, nil
	case "psql":
		return func(line string) { l.Psql = line }, nil
	case "block":
		return func(line string) { l.Block += line + "\n" }, nil
	case "others":
		return func(line string) { l.Others = append(l.Others, strings.Trim(strings.TrimSpace(line), "[]")) }, nil
	default:
		return l.setFile(word, rest)
	}
	return nil, nil
}

// setFile records what a line says of the file at path.
func (l *look) setFile(word, path string) (textSink, error) {
	e := l.Entries[path]
	if e == nil {
		return nil, fmt.Errorf("unknown word %q, or a path that was not named before", word)
	}
	switch word {
	case "encrypted":
		e.Encrypted = true
		return nil, nil
	case "link":
		return func(line string) { e.Link = line }, nil
	case "pem":
		return func(line string) { e.PEM = append(append(e.PEM, line...), '\n') }, nil
	case "pub":
		return func(line string) { e.Public += line + "\n" }, nil
	case "text":
		return func(line string) { e.Text += line + "\n" }, nil
	}
	return nil, fmt.Errorf("unknown word %q", word)
}

// setMeta reads "owner group mode mtime uid size inode:ctime path". The folder of the process that tells this is as old as what it tells.
func (l *look) setMeta(rest string) error {
	f := strings.SplitN(rest, " ", 8)
	itself := len(f) == 8 && f[7] == "/proc/self/."
	if len(f) != 8 || l.Entries[f[7]] == nil && !itself {
		return fmt.Errorf("%q is of nothing that was named before", rest)
	}
	mode, err1 := strconv.ParseUint(f[2], 8, 32)
	mtime, err2 := strconv.ParseInt(f[3], 10, 64)
	uid, err3 := strconv.Atoi(f[4])
	size, err4 := strconv.Atoi(f[5])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("%q does not say what a file is: %w", rest, err)
	}
	if itself {
		l.Time = time.Unix(mtime, 0)
		return nil
	}
	e := l.Entries[f[7]]
	e.Owner, e.Group, e.Mode, e.ModTime, e.UID, e.Size = f[0], f[1], uint32(mode), time.Unix(mtime, 0), uid, size
	return nil
}
