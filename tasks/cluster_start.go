package tasks

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// startProblem tells why a server with the files of its configuration would not start, as its OS user saw them in the look; nil: it would, as far as TLS
// goes (POSTGRES_TLS 2.4: modes and owners of keys; PostgreSQL manual, 19.9).
func startProblem(c *Cluster) error {
	if !c.upcomingTLS() {
		return nil
	}
	if err := c.pairProblem(); err != nil {
		return err
	}
	return c.trustProblem()
}

// pairProblem tells why a server would not start with its certificate and key.
func (c *Cluster) pairProblem() error {
	cert, err := c.startFile("certificate", "ssl_cert_file")
	if err != nil {
		return err
	}
	key, err := c.startFile("private key", "ssl_key_file")
	if err != nil {
		return err
	}
	if err := c.keyMode(key); err != nil {
		return err
	}
	return c.pair(cert, key)
}

// refuseBroken refuses to bring authorities or lists to a server whose certificate and key are broken: PostgreSQL reads them together or not at all.
func (c *Cluster) refuseBroken() error {
	if !c.Running || !c.upcomingTLS() {
		return nil
	}
	if err := c.pairProblem(); err != nil {
		return fmt.Errorf("%w: cluster %s: nothing new could come into force: %w%s", ErrRefused, c.ID, err, c.mends())
	}
	return nil
}

// mends says what puts a file of the configuration right, where it is one of pgfleet's.
func (c *Cluster) mends() string {
	if strings.HasPrefix(c.upcomingPath("ssl_cert_file"), c.Dir+"/") {
		return "; pgfleet run mtls puts right what is pgfleet's"
	}
	return ""
}

// trustProblem tells why a server would not start with its authorities and lists.
func (c *Cluster) trustProblem() error {
	if c.upcomingPath("ssl_ca_file") != "" {
		ca, err := c.startFile("CA file", "ssl_ca_file")
		if err != nil {
			return err
		}
		if err := wholePEM(ca.Bytes, certificateBlocks...); err != nil {
			return fmt.Errorf("CA file %s: %w", ca.Path, err)
		}
	}
	if c.upcomingPath("ssl_crl_file") != "" {
		crl, err := c.startFile("CRL file", "ssl_crl_file")
		if err != nil {
			return err
		}
		if err := wholePEM(crl.Bytes, "X509 CRL"); err != nil {
			return fmt.Errorf("CRL file %s: %w", crl.Path, err)
		}
	}
	return nil
}

// startFile gives a file of the configuration that is there and can be read.
func (c *Cluster) startFile(what, name string) (HostFile, error) {
	p := c.upcomingPath(name)
	f, ok := c.Files[p]
	switch {
	case p == "":
		return f, fmt.Errorf("%s is not set", name)
	case !ok || f.Missing:
		return f, fmt.Errorf("%s %s is not there (as %s sees it)", what, p, c.OSUser)
	case !f.Readable:
		return f, fmt.Errorf("%s %s cannot be read by %s", what, p, c.OSUser)
	}
	return f, nil
}

// keyMode holds a key to the server's own rule.
func (c *Cluster) keyMode(key HostFile) error {
	switch {
	case key.Owner == c.OSUser && key.Mode&0o077 == 0, key.Owner == "root" && key.Mode&0o037 == 0:
		return nil
	case key.Owner == c.OSUser || key.Owner == "root":
		return fmt.Errorf("private key %s has mode %04o: at most 0600 when %s owns it, 0640 when root does", key.Path, key.Mode, c.OSUser)
	}
	return fmt.Errorf("private key %s belongs to %s: the server wants %s or root", key.Path, key.Owner, c.OSUser)
}

// pair sees that certificate and key belong together. A key whose passphrase a command gives cannot be looked at.
func (c *Cluster) pair(cert, key HostFile) error {
	block, _ := pem.Decode(cert.Bytes)
	if block == nil || !slices.Contains(certificateBlocks, block.Type) {
		return fmt.Errorf("certificate %s is not a certificate in PEM form", cert.Path)
	}
	if err := wholePEM(cert.Bytes, block.Type); err != nil {
		return fmt.Errorf("certificate %s: %w", cert.Path, err)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || c.upcoming("ssl_passphrase_command") != "" {
		return nil //nolint:nilerr // OpenSSL takes some that Go does not; the proof is a connection
	}
	if key.encrypted() {
		return fmt.Errorf("private key %s has a passphrase, which a server cannot be asked for when it starts unattended: take it away (openssl pkey -in %s -out NEW, with mode 0600), "+
			"or set ssl_passphrase_command, and ssl_passphrase_command_supports_reload: on", key.Path, key.Path)
	}
	public, _ := pem.Decode(key.Bytes)
	if public == nil {
		return fmt.Errorf("private key %s cannot be used: it is broken", key.Path)
	}
	if !bytes.Equal(public.Bytes, leaf.RawSubjectPublicKeyInfo) {
		return fmt.Errorf("certificate %s and private key %s do not belong together", cert.Path, key.Path)
	}
	return nil
}

// encrypted tells whether a key file wants a passphrase.
func (f HostFile) encrypted() bool { return bytes.HasPrefix(f.Bytes, []byte("ENCRYPTED\n")) }

// passphraseReload tells why no reload brings a new certificate, authority or list into force; nil: one does.
func (c *Cluster) passphraseReload() error {
	key := c.Files[c.upcomingPath("ssl_key_file")]
	if on, _ := ParseBool(c.upcoming("ssl_passphrase_command_supports_reload")); on || !key.encrypted() || !c.Running || !c.upcomingTLS() || c.upcoming("ssl_passphrase_command") == "" {
		return nil
	}
	return fmt.Errorf("private key %s has a passphrase that the server asks for only when it starts, so no reload brings a new certificate, authority or list into force: set ssl_passphrase_command_supports_reload: on where ssl_passphrase_command is set",
		key.Path)
}

// keepable tells why the certificate in force cannot be kept as it is; nil: it can. Of a stopped cluster it is not known where a passphrase would come from.
func (c *Cluster) keepable() error {
	cert, err := c.startFile("certificate", "ssl_cert_file")
	if err != nil {
		return err
	}
	key, err := c.startFile("private key", "ssl_key_file")
	if err != nil {
		return err
	}
	if err := c.keyMode(key); err != nil {
		return err
	}
	if key.encrypted() && !c.Running {
		return nil
	}
	if err := c.pair(cert, key); err != nil {
		return err
	}
	return c.passphraseReload()
}

// keepableTrust tells why the authorities in force cannot be kept with their lists; nil: they can.
func (c *Cluster) keepableTrust() error {
	if err := c.trustProblem(); err != nil || !c.Running {
		return err
	}
	return c.listLacking(nil)
}

// certificateBlocks are the kinds of PEM block that OpenSSL takes as a certificate.
var certificateBlocks = []string{"CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"}

// wholePEM sees that a file holds blocks of some kinds, and none that is broken. What does not begin a line is no block.
func wholePEM(text []byte, kinds ...string) error {
	want, found := 0, 0
	for _, kind := range kinds {
		want += bytes.Count(append([]byte("\n"), text...), []byte("\n-----BEGIN "+kind+"-----"))
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if !slices.Contains(kinds, block.Type) {
			continue
		}
		var value asn1.RawValue
		if rest, err := asn1.Unmarshal(block.Bytes, &value); err != nil || len(rest) > 0 && block.Type != "TRUSTED CERTIFICATE" {
			return errors.New("a block holds no ASN.1")
		}
		found++
	}
	switch {
	case want == 0:
		return fmt.Errorf("it holds no %s in PEM form", kinds[0])
	case found < want:
		return errors.New("a block is broken")
	}
	return nil
}
