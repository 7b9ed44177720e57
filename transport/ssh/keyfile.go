package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"
)

// keyFile is a private key file of the controller, opened.
type keyFile struct {
	public       ssh.PublicKey
	certificates []*ssh.Certificate
	// signer is nil when the key cannot be used without the agent; why says so.
	signer ssh.Signer
	why    string
}

// key opens a key file, once a process.
func (p *Pool) key(ctx context.Context, file string) (*keyFile, error) {
	file = expand(file)
	return once(ctx, p, p.keys, file, true, func() (*keyFile, error) { return p.openKey(file) })
}

func (p *Pool) openKey(file string) (*keyFile, error) {
	k := &keyFile{}
	if cert, err := readCertificate(file + "-cert.pub"); err == nil {
		k.certificates = append(k.certificates, cert)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		// The private half may be in the agent alone; its public half says which one is meant.
		if k.public = readPublic(file); k.public == nil {
			k.public = readPublic(file + ".pub")
		}
		if k.public == nil {
			return nil, fmt.Errorf("open key: %w", err)
		}
		k.why = "the private key is neither there nor in the agent"
		if !errors.Is(err, os.ErrNotExist) {
			k.why = fmt.Sprintf("%v, and the agent does not have it", errors.Unwrap(err))
		}
		return k, nil
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.signer, k.public = signer, signer.PublicKey()
	case errors.As(err, &locked):
		p.lockedKey(k, file, pem, locked.PublicKey)
	default:
		if k.public = readPublic(file); k.public == nil {
			return nil, fmt.Errorf("read key %s: %w", file, err)
		}
		k.why = "it is a public key, and the agent has no private one for it"
	}
	return k, nil
}

func (p *Pool) lockedKey(k *keyFile, file string, pem []byte, public ssh.PublicKey) {
	if public == nil {
		public = readPublic(file + ".pub")
	}
	k.public = public
	switch {
	case p.opt.Passphrase == nil:
		k.why = "it needs a passphrase and there is nobody to ask: add it to the agent"
	case public == nil:
		k.why = "it needs a passphrase and has no .pub file beside it"
	default:
		k.signer = &lockedSigner{pool: p, file: file, pem: pem, public: public}
	}
}

// lockedSigner asks for its passphrase when the host has accepted the key, once a process.
type lockedSigner struct {
	pool   *Pool
	file   string
	pem    []byte
	public ssh.PublicKey
	once   sync.Once
	open   ssh.Signer
	err    error
}

// PublicKey is known without the passphrase.
func (s *lockedSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign opens the key and signs with its first algorithm.
func (s *lockedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm opens the key and signs.
func (s *lockedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.once.Do(s.unlock)
	if s.err != nil {
		return nil, s.err
	}
	if a, ok := s.open.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return a.SignWithAlgorithm(rand, data, algorithm)
	}
	return s.open.Sign(rand, data)
}

func (s *lockedSigner) unlock() {
	passphrase, err := s.pool.opt.Passphrase(s.file)
	if err == nil {
		s.open, err = ssh.ParsePrivateKeyWithPassphrase(s.pem, passphrase)
	}
	if err != nil {
		s.err = fmt.Errorf("open key %s: %w", s.file, err)
	}
	clear(passphrase)
}

func readPublic(file string) ssh.PublicKey {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil
	}
	return key
}

func readCertificate(file string) (*ssh.Certificate, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", file, err)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("read certificate %s: it is a plain key", file)
	}
	return cert, nil
}
