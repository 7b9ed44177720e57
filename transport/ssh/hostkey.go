package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/pgfleet/pgfleet/transport"
)

// HostKeyError is a host whose key is unknown, changed or revoked. It wraps transport.ErrHostKey.
type HostKeyError struct {
	// Host is the inventory's name; Name is what known_hosts is searched for.
	Host, Name string
	// Type and Fingerprint (SHA256:…) of the key that the host showed, "" when it has none of a recorded type.
	Type, Fingerprint string
	// Known are the recorded keys.
	Known []KnownKey
	// Changed: others are recorded. Revoked: this one is marked @revoked.
	Changed, Revoked bool
	// Cause says more for a certificate that was not accepted; mostly nil.
	Cause error
}

// KnownKey is a line of a known_hosts file.
type KnownKey struct {
	Type, Fingerprint, File string
	Line                    int
}

// Error says what is wrong, with the fingerprint and the command that helps.
func (e *HostKeyError) Error() string {
	shown := fmt.Sprintf("%s key %s", e.Type, e.Fingerprint)
	switch {
	case e.Revoked:
		return fmt.Sprintf("%s shows a revoked host key: %s", e.Name, shown)
	case e.Changed && e.Type == "":
		return fmt.Sprintf("the host key of %s has changed: %v; if that is right: pgfleet trust --replace %s", e.Name, e.Cause, e.Host)
	case e.Changed:
		places := make([]string, len(e.Known))
		for i, k := range e.Known {
			places[i] = fmt.Sprintf("%s %s (%s:%d)", k.Type, k.Fingerprint, k.File, k.Line)
		}
		return fmt.Sprintf("the host key of %s has changed: it shows %s, recorded is %s; if that is right: pgfleet trust --replace %s", e.Name, shown,
			strings.Join(places, ", "), e.Host)
	case e.Cause != nil:
		return fmt.Sprintf("the host certificate of %s is not accepted: %v", e.Name, e.Cause)
	}
	return fmt.Sprintf("the host key of %s is not known: it shows %s; to record it: pgfleet trust %s", e.Name, shown, e.Host)
}

// Hint is what to do about it.
func (e *HostKeyError) Hint() string {
	if e.Revoked {
		return "somebody has marked this key as stolen or given up: the host needs a new one"
	}
	if e.Changed {
		return "somebody may be in between. If the host was installed anew, compare the fingerprint on its console before you record it"
	}
	return "compare the fingerprint on the host's console: ssh-keygen -lf " + publicKeyFile(e.Type)
}

// publicKeyFile is where sshd keeps the public key of a type, unless it was told otherwise.
func publicKeyFile(keyType string) string {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		if strings.Contains(keyType, kind) {
			return "/etc/ssh/ssh_host_" + kind + "_key.pub"
		}
	}
	return "/etc/ssh/ssh_host_…_key.pub"
}

// Unwrap makes it an ErrHostKey.
func (e *HostKeyError) Unwrap() []error {
	if e.Cause == nil {
		return []error{transport.ErrHostKey}
	}
	return []error{transport.ErrHostKey, e.Cause}
}

// indexed is the size in bytes from which a known_hosts file is indexed; smaller ones the library reads as they are.
const indexed = 32 << 10

// knownHosts is a set of known_hosts files, read.
type knownHosts struct {
	// db has all but the lines in index.
	db    *knownhosts.HostKeyDB
	index index
	// original gives the file for which a repaired copy was read.
	original map[string]string
}

func (p *Pool) knownFor(ctx context.Context, t transport.Target) (*knownHosts, error) {
	files := t.KnownHosts
	if len(files) == 0 {
		files = p.opt.KnownHosts
	}
	if len(files) == 0 {
		files = []string{"~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"}
	}
	k, err := once(ctx, p, p.known, strings.Join(files, "\x00"), true, func() (*knownHosts, error) { return readKnownHosts(files) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrHostKey, err)
	}
	return k, nil
}

// readKnownHosts reads those of files that exist. Lines that cannot be read are passed over, as by ssh(1).
func readKnownHosts(files []string) (*knownHosts, error) {
	k := &knownHosts{original: map[string]string{}}
	var there []string
	for _, file := range files {
		file = expand(file)
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		if _, err = xknownhosts.New(file); err != nil || len(content) >= indexed {
			copied, err := k.rest(file, content)
			if err != nil {
				return nil, fmt.Errorf("read known hosts: %w", err)
			}
			defer os.Remove(copied)
			k.original[copied] = file
			file = copied
		}
		there = append(there, file)
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	k.db = db
	return k, nil
}

// rest writes a copy of a file in which the lines that go into the index, and those that cannot be read, are empty: the library reads files only.
func (k *knownHosts) rest(file string, content []byte) (string, error) {
	f, err := os.CreateTemp("", "pgfleet-known-hosts-*")
	if err != nil {
		return "", err
	}
	defer f.Close()
	var out bytes.Buffer
	number := 0
	for line := range bytes.Lines(content) {
		number++
		if len(bytes.TrimSpace(line)) > 0 {
			marker, names, key, _, _, err := ssh.ParseKnownHosts(line)
			if err != nil || marker == "" && k.index.add(names, xknownhosts.KnownKey{Key: key, Filename: file, Line: number}) {
				line = []byte("\n")
			}
		}
		out.Write(line)
	}
	_, err = f.Write(out.Bytes())
	return f.Name(), err
}

// lookupName is "host:port" under which known_hosts is searched: an alias stands alone, as in ssh(1).
func lookupName(t transport.Target) string {
	if t.HostKeyAlias != "" {
		return net.JoinHostPort(strings.ToLower(t.HostKeyAlias), "22")
	}
	return strings.ToLower(address(t))
}

// algorithms are those of the keys recorded for t, so that the host shows one of them; none recorded: the defaults.
func (k *knownHosts) algorithms(t transport.Target) []string {
	name := lookupName(t)
	algorithms := k.db.HostKeyAlgorithms(name)
	for _, key := range k.index.keys(name) {
		for _, a := range algorithmsOf(key.Key) {
			if !slices.Contains(algorithms, a) {
				algorithms = append(algorithms, a)
			}
		}
	}
	for _, key := range k.db.HostKeys(name) {
		if key.Cert {
			// The authority's type says nothing about the type of the keys that it certifies.
			return append([]string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
				ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}, plain(algorithms)...)
		}
	}
	return algorithms
}

// algorithmsOf are the signature algorithms of a recorded key, the preferred one first (RFC 8332).
func algorithmsOf(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{key.Type()}
}

func plain(algorithms []string) []string {
	var out []string
	for _, a := range algorithms {
		if !strings.Contains(a, "-cert-") {
			out = append(out, a)
		}
	}
	return out
}

// hostCheck is the check of one handshake.
type hostCheck struct {
	name   string
	target transport.Target
	known  *knownHosts
	// passed: the key exchange came to a key, and it was accepted. err: it was not.
	passed bool
	err    error
}

func (k *knownHosts) checker(t transport.Target) *hostCheck {
	return &hostCheck{name: lookupName(t), target: t, known: k}
}

// callback is keyed on the dialled name alone: through a bastion the remote address is 0.0.0.0.
func (c *hostCheck) callback(_ string, _ net.Addr, key ssh.PublicKey) error {
	err := c.known.judgeKey(c.name, key)
	if err == nil {
		c.passed = true
		return nil
	}
	e := &HostKeyError{Host: c.target.Name, Name: knownhosts.Normalize(c.name), Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	var keyErr *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		e.Revoked = true
	case errors.As(err, &keyErr):
		e.Changed = len(keyErr.Want) > 0
		for _, w := range keyErr.Want {
			e.Known = append(e.Known, c.known.line(w))
		}
	default:
		e.Cause = err
	}
	c.err = e
	return e
}

// judgeKey is the check of one key. A certificate is revoked by a line with its authority's key or with the key that it certifies, too, as in
// ssh(1): the library looks for the certificate itself only.
func (k *knownHosts) judgeKey(name string, key ssh.PublicKey) error {
	check := k.db.HostKeyCallback()
	if cert, ok := key.(*ssh.Certificate); ok {
		for _, part := range []ssh.PublicKey{cert.SignatureKey, cert.Key} {
			err := check(name, &net.TCPAddr{IP: net.IPv4zero}, part)
			var revoked *xknownhosts.RevokedError
			if errors.As(err, &revoked) {
				return err
			}
		}
	}
	err := check(name, &net.TCPAddr{IP: net.IPv4zero}, key)
	var unknown *xknownhosts.KeyError
	if !errors.As(err, &unknown) {
		return err
	}
	// It is not revoked, and no pattern has it. (As in ssh(1), a pattern counts also where the host has lines of its own.)
	for _, known := range k.index.keys(name) {
		if bytes.Equal(known.Key.Marshal(), key.Marshal()) {
			return nil
		}
		unknown.Want = append(unknown.Want, known)
	}
	return err
}

// otherKinds says whether err is a host that has no key of the recorded types, and keeps that as the check's error.
func (c *hostCheck) otherKinds(err error) bool {
	var n *ssh.AlgorithmNegotiationError
	recorded := c.known.db.HostKeys(c.name)
	for _, known := range c.known.index.keys(c.name) {
		recorded = append(recorded, knownhosts.PublicKey{PublicKey: known.Key})
	}
	if !errors.As(err, &n) || n.What != "host key" || len(recorded) == 0 {
		return false
	}
	e := &HostKeyError{Host: c.target.Name, Name: knownhosts.Normalize(c.name), Changed: true}
	var kinds []string
	for _, key := range recorded {
		e.Known = append(e.Known, KnownKey{Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)})
		kind := key.Type() + " " + ssh.FingerprintSHA256(key)
		if key.Cert {
			kind = "an authority for certificates, " + kind
		}
		kinds = append(kinds, kind)
	}
	e.Cause = fmt.Errorf("recorded is %s, but the host has only %s", strings.Join(kinds, ", "), strings.Join(n.RequestedAlgorithms, ", "))
	c.err = e
	return true
}

func (k *knownHosts) line(w xknownhosts.KnownKey) KnownKey {
	file := w.Filename
	if original, ok := k.original[file]; ok {
		file = original
	}
	return KnownKey{Type: w.Key.Type(), Fingerprint: ssh.FingerprintSHA256(w.Key), File: file, Line: w.Line}
}
