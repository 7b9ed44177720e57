package transport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Signer is a private key that stays on its host and can be used from here: the digest goes to the host, that host's openssl signs,
// the signature comes back. It is a crypto.Signer and a crypto.MessageSigner, so crypto/tls and crypto/x509 take it for a key.
type Signer struct {
	ctx    context.Context
	do     func(ctx context.Context, steps ...Step) ([]Result, error)
	path   string
	user   string
	public crypto.PublicKey
}

// NewSigner makes a signer from a connection, the key file's absolute path there, the OS user who may read it ("": root), and the public
// key that belongs to it. ctx ends every signature: crypto.Signer has no context of its own. The error names a kind of key
// that cannot be used: EC, RSA and Ed25519 can, the last with OpenSSL 3 on the host.
func NewSigner(ctx context.Context, conn interface {
	Do(ctx context.Context, steps ...Step) ([]Result, error)
}, path, user string, public crypto.PublicKey) (*Signer, error) {
	switch public.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return &Signer{ctx: ctx, do: conn.Do, path: path, user: user, public: public}, nil
	}
	return nil, fmt.Errorf("sign with %s: keys of type %T cannot be used from here", path, public)
}

// Public gives the public key.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// SignMessage hashes where opts ask for it and signs.
func (s *Signer) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() == 0 {
		return s.Sign(nil, message, opts)
	}
	if !opts.HashFunc().Available() {
		return nil, fmt.Errorf("sign with %s: hash %v is not linked in", s.path, opts.HashFunc())
	}
	h := opts.HashFunc().New()
	h.Write(message)
	return s.Sign(nil, h.Sum(nil), opts)
}

// signRaw signs a whole message, which openssl wants as a file.
const signRaw = `f=$(mktemp) || exit 1
trap 'rm -f "$f"' EXIT
cat >"$f" && openssl pkeyutl -sign -rawin -inkey "$1" -in "$f"`

// Sign signs a digest; for Ed25519, digest is the message itself.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	step, err := s.step(opts)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.path, err)
	}
	step.Stdin = digest
	results, err := s.do(s.ctx, step)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.path, err)
	}
	if err := Failed([]Step{step}, results); err != nil {
		return nil, err
	}
	return results[0].Stdout, nil
}

// step gives the command for the key's type and the padding asked for (pkeyutl(1)).
func (s *Signer) step(opts crypto.SignerOpts) (Step, error) {
	step := Step{Key: "sign with " + s.path, User: s.user, Probe: true}
	argv := []string{"openssl", "pkeyutl", "-sign", "-inkey", s.path}
	switch s.public.(type) {
	case ed25519.PublicKey:
		if opts.HashFunc() != 0 {
			return step, errors.New("ed25519 signs messages, not digests")
		}
		step.Shell, step.Argv = signRaw, []string{s.path}
		return step, nil
	case *rsa.PublicKey:
		argv = append(argv, "-pkeyopt", "digest:"+strings.ToLower(strings.ReplaceAll(opts.HashFunc().String(), "-", "")))
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			if pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != opts.HashFunc().Size() {
				return step, fmt.Errorf("PSS salt of %d bytes is not supported", pss.SaltLength)
			}
			argv = append(argv, "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:-1")
		}
	}
	step.Argv = argv
	return step, nil
}
