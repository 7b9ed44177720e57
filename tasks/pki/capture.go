package pki

import (
	"crypto"
	"errors"
	"io"
)

// errCaptured ends crypto/x509's work once the bytes to be signed are known.
var errCaptured = errors.New("captured")

// capture is a signer without a key: it keeps the message that crypto/x509 asks it to sign.
type capture struct {
	public  crypto.PublicKey
	message []byte
}

// Public gives the key of the authority that is going to sign.
func (c *capture) Public() crypto.PublicKey { return c.public }

// Sign is never used: crypto/x509 prefers SignMessage.
func (c *capture) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("only whole messages can be signed")
}

// SignMessage keeps the message and ends with errCaptured.
func (c *capture) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	c.message = append([]byte(nil), message...)
	return nil, errCaptured
}
