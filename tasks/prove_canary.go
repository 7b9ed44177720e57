package tasks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// canaries are the proofs by the test certificates of every authority of ours that the server believes; the connection of a good one also shows what
// is served. Nobody has their keys, and none is needed: a server judges the chain and the lists of revoked certificates before the signature that proves possession of the key. So the
// certificate is shown with a throw-away key of the same type, and the alert tells the judgement. Measured with PostgreSQL 15.18 (OpenSSL 3.0),
// 12.22 and 18.4 (OpenSSL 1.1.1), EC and RSA, TLS 1.2 and 1.3, all alike:
//
//	good certificate          51 decrypt_error: chain and lists accepted, only the signature is wrong
//	revoked                   44 certificate_revoked
//	expired, or a list is     45 certificate_expired
//	unknown authority, or
//	an authority has no list  48 unknown_ca
//
// A list whose own signature is wrong gives 51 too (OpenSSL's CRL signature failure), for the revoked one as well: only both answers together are a proof.
func (t *postgresReload) canaries(h *Host, c *Cluster, p *tlsProbe) ([]proof, error) {
	believed := caFileCertificates(c)
	var shows []proof
	proved := map[string]bool{}
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		if h.Fleet.Authorities[name].Foreign() {
			continue // there is nobody who would sign a test certificate
		}
		chain, err := h.Fleet.CA.Chain(name)
		// Another authority below the same root is not believed: with lists in use, there is none of it.
		if err != nil || !slices.ContainsFunc(believed, func(c *x509.Certificate) bool { return pki.SameKey(c.PublicKey, chain[0].PublicKey) }) {
			continue
		}
		good, revoked, err := h.Fleet.CA.Canaries(name)
		if errors.Is(err, ErrPending) {
			t.notes = append(t.notes, fmt.Sprintf("cluster %s: not proved for authority %s: it has no test certificates", c.ID, name))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("test certificates of authority %s: %w", name, err)
		}
		shows = append(shows, p.canary(c, good, chain, alertDecryptError, "authority "+name+": its good test certificate should be accepted"))
		for _, ca := range chain {
			proved[subjectText(ca)] = true
		}
		if c.upcoming("ssl_crl_file") == "" && c.upcoming("ssl_crl_dir") == "" {
			t.notes = append(t.notes, fmt.Sprintf("cluster %s: no list of revoked certificates is in force, so none is refused", c.ID))
			continue
		}
		shows = append(shows, p.canary(nil, revoked, chain, alertRevoked, "authority "+name+": its revoked test certificate should be refused as revoked"))
	}
	for _, ca := range believed {
		if !proved[subjectText(ca)] {
			t.notes = append(t.notes, fmt.Sprintf("cluster %s: not proved for authority %q: pgfleet has no test certificates of it", c.ID, subjectText(ca)))
		}
	}
	return shows, nil
}

// canary is the proof by one test certificate; what it should have shown comes before the error. With a cluster, what is served is compared with its files.
func (p *tlsProbe) canary(c *Cluster, cert *x509.Certificate, chain []*x509.Certificate, want int, should string) proof {
	return func(ctx context.Context) error {
		seen, err := p.show(ctx, cert, chain, want)
		if c != nil && seen != nil && len(seen.chain) > 0 {
			if err := compareServed(c, seen.chain, seen.authorities); err != nil {
				return err
			}
		}
		switch {
		case err != nil && seen == nil:
			return fmt.Errorf("a new TLS connection to %s: %w", p.addr, err)
		case err != nil:
			return fmt.Errorf("%s: %w", should, err)
		}
		return nil
	}
}

// show shows a certificate and those above it, the root left out, and wants one alert. What it saw is nil where no connection was made.
func (p *tlsProbe) show(ctx context.Context, cert *x509.Certificate, chain []*x509.Certificate, want int) (*tlsSeen, error) {
	key, err := throwAwayKey(cert.PublicKey)
	if err != nil {
		return &tlsSeen{}, err
	}
	shown := [][]byte{cert.Raw}
	for _, above := range chain[:len(chain)-1] {
		shown = append(shown, above.Raw)
	}
	seen, err := p.connect(ctx, attempt{chain: shown, key: key})
	var alert *alertError
	switch {
	case err == nil:
		return seen, errors.New("the server asked for no certificate")
	case errors.As(err, &alert) && alert.code == want:
		return seen, nil
	case errors.As(err, &alert) && alert.code == alertDecryptError:
		return seen, errors.New("it was accepted: no list that names it is in force")
	case errors.As(err, &alert):
		return seen, fmt.Errorf("the server's answer was: %w", err)
	}
	return seen, err
}

// throwAwayKey makes a key of the type of another one's public half.
func throwAwayKey(public crypto.PublicKey) (crypto.Signer, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.GenerateKey(k.Curve, rand.Reader)
	case *rsa.PublicKey:
		return rsa.GenerateKey(rand.Reader, k.N.BitLen())
	case ed25519.PublicKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no test with a key of type %T", public)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
