package survey

import (
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// peers remembers who is accepted by whom: many believe the same, and a signature takes time to verify.
type peers struct {
	now time.Time
	// trusts numbers what is believed by content, files by their place in the facts.
	trusts map[string]int
	files  map[*File]int
	known  map[acceptance]error
}

type acceptance struct {
	leaf  *x509.Certificate
	trust int
}

func newPeers(now time.Time) *peers {
	return &peers{now: now, trusts: map[string]int{}, files: map[*File]int{}, known: map[acceptance]error{}}
}

// number gives what somebody believes a number; equal beliefs have the same.
func (p *peers) number(trust, lists *File) int {
	if n, ok := p.files[trust]; ok {
		return n
	}
	var b strings.Builder
	for _, c := range trust.Certs {
		b.Write(c.Raw)
	}
	if lists.Path != "" {
		b.WriteString(" lists ")
	}
	for _, l := range lists.Lists {
		b.Write(l.Raw)
	}
	n, ok := p.trusts[b.String()]
	if !ok {
		n = len(p.trusts)
		p.trusts[b.String()] = n
	}
	p.files[trust] = n
	return n
}

// accepts tells why somebody who believes trust, with lists, does not accept a certificate that is presented with those above it; nil: it is accepted. What is wrong with the
// certificate itself (over, revoked) is no reason: its own state tells it.
func (p *peers) accepts(certs []*x509.Certificate, use pki.Profile, trust, lists *File) error {
	key := acceptance{certs[0], p.number(trust, lists)}
	if err, ok := p.known[key]; ok {
		return err
	}
	opt := pki.ChainOptions{Roots: trust.Certs, Intermediates: certs[1:], Use: use, Now: p.now}
	if lists.Path != "" {
		opt.CRLs = append([]*x509.RevocationList{}, lists.Lists...)
	}
	_, err := pki.VerifyChain(certs[0], opt)
	var chain *pki.ChainError
	if errors.As(err, &chain) && chain.Cert == certs[0] && (chain.Problem == pki.ChainExpired || chain.Problem == pki.ChainNotYet || chain.Problem == pki.ChainRevoked) {
		err = nil
	}
	p.known[key] = err
	return err
}
