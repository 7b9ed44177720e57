package transport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Doer is the part of a Conn that runs steps.
type Doer interface {
	Do(ctx context.Context, steps ...Step) ([]Result, error)
}

// signLimit is the limit of one signature.
const signLimit = 20 * time.Second

// Signer signs with a private key that stays in a file of the host: what is to be signed goes there, the host's openssl signs, the
// signature comes back. It is a crypto.Signer and a crypto.MessageSigner for RSA (PKCS #1 v1.5 and PSS), ECDSA and Ed25519, so
// that crypto/tls and crypto/x509 work with it. Every signature is one round trip. Ed25519 needs OpenSSL 3 on the host.
type Signer struct {
	ctx    context.Context
	doer   Doer
	path   string
	user   string
	public crypto.PublicKey
}

// NewSigner makes a signer for the key in keyPath, an absolute path, read on the host by user ("" is root). public is its public half.
// ctx bounds every signature, as the interfaces of crypto have none. The error is for a kind of key that is not supported.
func NewSigner(ctx context.Context, doer Doer, keyPath, user string, public crypto.PublicKey) (*Signer, error) {
	switch public.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return &Signer{ctx, doer, keyPath, user, public}, nil
	}
	return nil, fmt.Errorf("sign with %s: keys of type %T are not supported", keyPath, public)
}

// Public gives the public half.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest, or with Ed25519 and a zero hash the message itself. The randomness is the host's.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := s.public.(ed25519.PublicKey); ok {
		return s.signEd25519(digest, opts)
	}
	hash := opts.HashFunc()
	name, ok := hashNames[hash]
	if !ok {
		return nil, fmt.Errorf("sign with %s: hash %v is not supported", s.path, hash)
	}
	if len(digest) != hash.Size() {
		return nil, fmt.Errorf("sign with %s: the digest has %d bytes, %v has %d", s.path, len(digest), hash, hash.Size())
	}
	args := []string{"openssl", "pkeyutl", "-sign", "-inkey", s.path, "-pkeyopt", "digest:" + name}
	if _, ok := s.public.(*rsa.PublicKey); ok {
		padding, err := s.padding(opts, hash)
		if err != nil {
			return nil, err
		}
		args = append(args, padding...)
	}
	return s.run(Step{Argv: args, Stdin: digest})
}

// SignMessage signs a message whole, which the host's openssl hashes.
func (s *Signer) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := s.public.(ed25519.PublicKey); ok {
		return s.signEd25519(message, opts)
	}
	hash := opts.HashFunc()
	name, ok := hashNames[hash]
	if !ok {
		return nil, fmt.Errorf("sign with %s: hash %v is not supported", s.path, hash)
	}
	args := []string{"openssl", "dgst", "-" + name, "-sign", s.path}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		salt, err := s.saltLength(pss, hash)
		if err != nil {
			return nil, err
		}
		args = append(args, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:"+salt, "-sigopt", "rsa_mgf1_md:"+name)
	}
	return s.run(Step{Argv: args, Stdin: message})
}

// hashNames are openssl's names.
var hashNames = map[crypto.Hash]string{crypto.SHA1: "sha1", crypto.SHA224: "sha224", crypto.SHA256: "sha256", crypto.SHA384: "sha384",
	crypto.SHA512: "sha512"}

func (s *Signer) padding(opts crypto.SignerOpts, hash crypto.Hash) ([]string, error) {
	pss, ok := opts.(*rsa.PSSOptions)
	if !ok {
		return []string{"-pkeyopt", "rsa_padding_mode:pkcs1"}, nil
	}
	salt, err := s.saltLength(pss, hash)
	if err != nil {
		return nil, err
	}
	return []string{"-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:" + salt, "-pkeyopt", "rsa_mgf1_md:" + hashNames[hash]}, nil
}

// saltLength gives the salt's bytes: crypto/rsa's "auto" is the longest that fits (RFC 8017, 9.1.1).
func (s *Signer) saltLength(pss *rsa.PSSOptions, hash crypto.Hash) (string, error) {
	n := pss.SaltLength
	switch n {
	case rsa.PSSSaltLengthEqualsHash:
		n = hash.Size()
	case rsa.PSSSaltLengthAuto:
		n = (s.public.(*rsa.PublicKey).N.BitLen()-1+7)/8 - 2 - hash.Size()
	}
	if n < 0 {
		return "", fmt.Errorf("sign with %s: the key is too short for %v", s.path, hash)
	}
	return strconv.Itoa(n), nil
}

// rawSign signs standard input with key $1: Ed25519 in openssl 3.0 wants a file whose size it can see. The message is no secret.
const rawSign = `umask 077
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$d/m" || exit 1
openssl pkeyutl -sign -rawin -inkey "$1" -in "$d/m"`

func (s *Signer) signEd25519(message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		return nil, fmt.Errorf("sign with %s: Ed25519 signs messages, not %v digests", s.path, opts.HashFunc())
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return nil, fmt.Errorf("sign with %s: Ed25519 with a context is not supported", s.path)
	}
	return s.run(Step{Shell: rawSign, Argv: []string{s.path}, Stdin: message})
}

func (s *Signer) run(step Step) ([]byte, error) {
	step.Key, step.User, step.Limit = "sign with "+s.path, s.user, signLimit
	results, err := s.doer.Do(s.ctx, step)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.path, err)
	}
	if err := Failed([]Step{step}, results); err != nil {
		return nil, err
	}
	return results[0].Stdout, nil
}
