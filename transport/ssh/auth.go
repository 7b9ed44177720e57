package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/pgfleet/pgfleet/transport"
)

// auth is what one login has to offer, and what went wrong while it was gathered.
type auth struct {
	pool   *Pool
	target transport.Target
	ctx    context.Context
	// offered counts keys; notes are reasons why something could not be offered.
	offered int
	notes   []string
	// banner is what the other side said last before it let anybody in or hung up.
	banner string
}

func (a *auth) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

func (a *auth) methods() []ssh.AuthMethod {
	methods := []ssh.AuthMethod{ssh.PublicKeysCallback(a.signers)}
	if a.pool.opt.Password == nil {
		return methods
	}
	password := func() (string, error) {
		b, err := once(a.ctx, a.pool, a.pool.logins, a.target.Name, true, func() ([]byte, error) {
			return a.pool.opt.Password(a.ctx, a.target.Name)
		})
		return string(b), err
	}
	return append(methods, ssh.PasswordCallback(password), ssh.KeyboardInteractive(
		func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if echos[i] {
					return nil, fmt.Errorf("the host asks a question that is no password: %q", questions[i])
				}
				var err error
				if answers[i], err = password(); err != nil {
					return nil, err
				}
			}
			return answers, nil
		}))
}

// refused is the error for a login that the host did not accept.
func (a *auth) refused(err error) error {
	what := fmt.Sprintf("%d keys offered", a.offered)
	if a.offered == 1 {
		what = "1 key offered"
	}
	if len(a.notes) > 0 {
		what += "; " + strings.Join(a.notes, "; ")
	}
	refused := fmt.Errorf("%w: user %s on %s (%s): %w", transport.ErrAuth, a.target.User, address(a.target), what, err)
	if a.offered > 1 && strings.Contains(err.Error(), "Too many authentication failures") {
		return &hinted{refused, "the host gave up before every key was tried (MaxAuthTries): name the right one with ssh_identity_file, and set ssh_identities_only: true"}
	}
	return &hinted{refused, "ssh_user and ssh_identity_file of the inventory, else your ssh_config and agent, say who logs in with which key; ssh -v shows what the host takes"}
}

// heard keeps what the other side says before the login is decided: why an account may not log in is said this way alone.
func (a *auth) heard(message string) error {
	if message = strings.TrimSpace(message); message != "" {
		a.banner = message[strings.LastIndexByte(message, '\n')+1:]
	}
	return nil
}

// ended is a login that the other side broke off: sshd does so where PAM lets the account not in, whatever key was shown.
func (a *auth) ended(err error) error {
	what := "the other side ended the login"
	if a.banner != "" {
		what += fmt.Sprintf(", and had said %q", a.banner)
	}
	return &hinted{unreachable(a.target, fmt.Errorf("%s: %w", what, err)),
		"the log of sshd on that host says why: an account that has expired or is locked (chage -l " + a.target.User + "), /run/nologin while it boots or shuts down, a rule of PAM"}
}

// signers gives the keys in the order of ssh(1): certificates and agent keys that are also named, named files, the agent's others.
func (a *auth) signers() ([]ssh.Signer, error) {
	agentKeys := a.agentSigners()
	var named, others []ssh.Signer
	used := map[int]bool{}
	for _, file := range a.identityFiles() {
		key, err := a.pool.key(a.ctx, file)
		if err != nil {
			if len(a.target.IdentityFiles) > 0 || !errors.Is(err, os.ErrNotExist) {
				a.note("%v", err)
			}
			continue
		}
		signer := key.signer
		for i, s := range agentKeys {
			if key.public != nil && bytes.Equal(s.PublicKey().Marshal(), key.public.Marshal()) {
				signer, used[i] = s, true
			}
		}
		if signer == nil {
			a.note("%s: %s", file, key.why)
			continue
		}
		named = append(append(named, a.certified(signer, key.certificates)...), signer)
	}
	for i, s := range agentKeys {
		if !used[i] && !a.target.IdentitiesOnly {
			others = append(append(others, a.certified(s, nil)...), s)
		}
	}
	all := append(named, others...)
	a.offered = len(all)
	return all, nil
}

// certified gives signer once for each certificate on its key, from certs and the target's CertificateFiles.
func (a *auth) certified(signer ssh.Signer, certs []*ssh.Certificate) []ssh.Signer {
	for _, file := range a.target.CertificateFiles {
		cert, err := readCertificate(expand(file))
		if err != nil {
			a.note("%v", err)
			continue
		}
		certs = append(certs[:len(certs):len(certs)], cert)
	}
	var out []ssh.Signer
	for _, cert := range certs {
		if !bytes.Equal(cert.Key.Marshal(), signer.PublicKey().Marshal()) {
			continue
		}
		if s, err := ssh.NewCertSigner(cert, signer); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// identityFiles are the target's, or ssh(1)'s defaults.
func (a *auth) identityFiles() []string {
	if len(a.target.IdentityFiles) > 0 {
		return a.target.IdentityFiles
	}
	return []string{"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"}
}

// agentConn is one connection to an agent.
type agentConn struct {
	conn    net.Conn
	signers []ssh.Signer
}

func (a *auth) agentSigners() []ssh.Signer {
	getenv := a.pool.opt.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	socket := a.target.IdentityAgent
	switch {
	case socket == "none":
		return nil
	case socket == "" || socket == "SSH_AUTH_SOCK":
		socket = getenv("SSH_AUTH_SOCK")
	case strings.HasPrefix(socket, "$"):
		socket = getenv(strings.Trim(socket[1:], "{}"))
	}
	if socket == "" {
		return nil
	}
	ac, err := once(a.ctx, a.pool, a.pool.agents, socket, false, func() (*agentConn, error) { return dialAgent(a.ctx, expand(socket), connectTimeout(a.target)/3) })
	if err != nil {
		a.note("agent: %v", err)
		return nil
	}
	return ac.signers
}

// dialAgent asks an agent for its keys. One that hangs, behind a connection that is dead or a window that nobody sees, leaves time for the keys in files.
func dialAgent(ctx context.Context, socket string, limit time.Duration) (*agentConn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s gave no answer within %v", socket, limit))
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	signers, err := agent.NewClient(struct{ io.ReadWriter }{conn}).Signers()
	if !stop() || err != nil {
		conn.Close()
		return nil, causeOf(ctx, err)
	}
	return &agentConn{conn, signers}, nil
}

// expand replaces a leading ~/ by the home folder.
func expand(file string) string {
	rest, ok := strings.CutPrefix(file, "~/")
	if !ok {
		return file
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return file
	}
	return filepath.Join(home, rest)
}
