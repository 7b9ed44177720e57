package tasks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// parentWait is how long an intermediate waits for the authority above it, which another host makes in the same play; typedWait, where somebody has to type
// a passphrase first.
const (
	parentWait = 2 * time.Minute
	typedWait  = 15 * time.Minute
)

// applyAuthorities makes keys first, all in one round trip, then signs. The steps of the last authority are left for the caller to send
// with its probes; last reads their result.
func applyAuthorities(ctx context.Context, h *Host, plans []*authorityPlan, do Doer) (closing []transport.Step, last *authorityPlan, err error) {
	made, err := lookAgain(ctx, h, plans, do)
	if err != nil {
		return nil, nil, err
	}
	for i, p := range plans {
		if err := p.request(ctx, h, made[p]); err != nil {
			return nil, nil, fmt.Errorf("authority %s: %w", p.a.Name, err)
		}
		step, err := p.signing(ctx, h, made[p])
		if err != nil {
			return nil, nil, fmt.Errorf("authority %s: %w", p.a.Name, err)
		}
		if step == nil {
			continue
		}
		if i == len(plans)-1 {
			return []transport.Step{*step}, p, nil
		}
		results, err := do.Do(ctx, *step)
		if err != nil {
			return nil, nil, err
		}
		if err := p.read(results[0]); err != nil {
			return nil, nil, err
		}
		h.View.Put(results[0])
	}
	return nil, nil, nil
}

// madeKeys is what the first round trip of an authority gave.
type madeKeys struct {
	public crypto.PublicKey
	csr    []byte
}

// lookAgain makes keys, closes and reconciles, and sees the result; one round trip for all plans. It
// updates the plans' states.
func lookAgain(ctx context.Context, h *Host, plans []*authorityPlan, do Doer) (map[*authorityPlan]*madeKeys, error) {
	made := map[*authorityPlan]*madeKeys{}
	var asked []*authorityPlan
	var steps []transport.Step
	for _, p := range plans {
		made[p] = &madeKeys{public: p.state.PublicKey}
		if !p.look {
			continue
		}
		requests := []caRequest{newCARequest("init-key", "name", p.a.Name, "token", octal([]byte(p.a.Key)), "type", p.a.KeyTypeOrDefault(), "csr", yes(p.certificate && !p.a.IsRoot() || p.ask), "subject", p.askedSubject())}
		there := p.state.PublicKey != nil || p.state.Encrypted || p.a.Key != ""
		step, err := h.Fleet.KeySecret.open(ctx, p.a, there, caStep(p.a, time.Time{}, append(requests, shortStatus(p.a))...))
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
		asked = append(asked, p)
	}
	if len(steps) == 0 {
		return made, nil
	}
	results, err := do.Do(ctx, steps...)
	if err != nil {
		return nil, err
	}
	if err := transport.Failed(steps, results); err != nil {
		return nil, err
	}
	for i, p := range asked {
		if made[p], err = p.readKeys(results[i]); err != nil {
			return nil, fmt.Errorf("authority %s: %w", p.a.Name, err)
		}
	}
	return made, nil
}

// readKeys reads the answers to init-key and status.
func (p *authorityPlan) readKeys(r transport.Result) (*madeKeys, error) {
	reply, err := caResult(r)
	if err != nil {
		return nil, err
	}
	made := &madeKeys{}
	for _, answer := range reply.Answers {
		if err := answer.err(); err != nil {
			return nil, err
		}
		if answer.Verb != "init-key" {
			continue
		}
		pub, err := pki.ParsePublicKey(answer.Files["publickey"])
		if err != nil {
			return nil, fmt.Errorf("public key from ca.sh: %w", err)
		}
		made.public, made.csr = pub, answer.Files["csr"]
	}
	if made.public == nil {
		return nil, errors.New("ca.sh gave no public key")
	}
	if is := pki.KeyType(made.public); is != p.a.KeyTypeOrDefault() {
		return nil, fmt.Errorf("its key is %s, declared is %s: %w", is, p.a.KeyTypeOrDefault(), ErrRefused)
	}
	p.state, err = ParseAuthority(r)
	return made, err
}

// signing gives the step that makes certificate, canaries and list, and shows what is there then, as the authority's probe does; nil when there is nothing to
// be signed.
func (p *authorityPlan) signing(ctx context.Context, h *Host, made *madeKeys) (*transport.Step, error) {
	ca, requests, err := p.certificateRequests(ctx, h, made)
	if err != nil || ca == nil { // without a certificate, there is nothing that it could sign
		return nil, err
	}
	now := h.Fleet.Now
	revoked := p.state.Revoked
	end := p.canaryEnd(h, ca)
	for _, canary := range p.canaries() {
		r, serial, err := p.canaryRequest(ca, canary, end, now)
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
		if canary == "canary-revoked" {
			revoked = append(revoked[:len(revoked):len(revoked)], pki.Revoked{Serial: serial, At: now, Expires: end, Reason: 5})
		}
	}
	// What was found revoked in index.txt a moment ago is to be listed too.
	if p.list || p.lacks(now) {
		tbs, algorithm, err := pki.CRLTBS(ca, p.state.NextNumber, revoked, now)
		if err != nil {
			return nil, err
		}
		requests = append(requests, newCARequest("crl", "number", pki.FormatSerial(p.state.NextNumber), "algorithm", algorithm, "tbs", octal(tbs)))
	}
	if len(requests) == 0 {
		return nil, nil
	}
	step, err := h.Fleet.KeySecret.open(ctx, p.a, true, caStep(p.a, time.Time{}, append(requests, shortStatus(p.a))...))
	step.Key = KeyAuthority(p.a.Name)
	return &step, err
}

// lacks tells whether the list in force does not do for the state as it is now.
func (p *authorityPlan) lacks(now time.Time) bool {
	s := p.state
	return s.CRL == nil || s.Certificate == nil || pki.CheckCRL(s.CRL, s.Certificate, nil, s.Revoked, now.Add(time.Minute)) != nil
}

// canaries are those to be made.
func (p *authorityPlan) canaries() []string {
	var out []string
	if p.good {
		out = append(out, "canary-good")
	}
	if p.bad {
		out = append(out, "canary-revoked")
	}
	return out
}

// certificateRequests gives the authority's certificate as it is or is going to be, and the request that makes it.
func (p *authorityPlan) certificateRequests(ctx context.Context, h *Host, made *madeKeys) (*x509.Certificate, []caRequest, error) {
	if !p.certificate || p.a.IsRoot() && p.state.Certificate != nil {
		return p.state.Certificate, nil, nil
	}
	t, err := authorityTemplate(h.Fleet.Authorities, p.a)
	if err != nil {
		return nil, nil, err
	}
	if !p.a.IsRoot() {
		return p.fromParent(ctx, h, made, t)
	}
	serial, err := pki.NewSerial(nil)
	if err != nil {
		return nil, nil, err
	}
	tbs, algorithm, err := pki.TBS(t, made.public, nil, nil, serial, h.Fleet.Now)
	if err != nil {
		return nil, nil, err
	}
	ca, err := pki.Unsigned(tbs, algorithm)
	if err != nil {
		return nil, nil, err
	}
	return ca, []caRequest{newCARequest("root", "serial", pki.FormatSerial(serial), "algorithm", algorithm, "tbs", octal(tbs))}, nil
}

// fromParent has the authority above sign: only the request and the certificate travel.
func (p *authorityPlan) fromParent(ctx context.Context, h *Host, made *madeKeys, t pki.Template) (*x509.Certificate, []caRequest, error) {
	limit := parentWait
	for _, a := range h.Fleet.Authorities {
		if a.Passphrase["prompt"] != nil {
			limit = typedWait
		}
	}
	chain, err := waitForParent(ctx, h.Fleet.CA, p.a.Issuer, limit)
	if err != nil {
		return nil, nil, err
	}
	cert := p.state.Certificate
	if up := h.Fleet.Authorities[p.a.Issuer]; p.due || cert == nil || !up.Foreign() {
		// A certificate from before is asked for again only when it was lost on the way, not when it is due.
		if cert, err = h.Fleet.CA.Issue(ctx, p.a.Issuer, IssueRequest{CSR: made.csr, Template: t, Host: h.Name, Fresh: p.due, Not: p.state.Certificate}); err != nil {
			return nil, nil, err
		}
	}
	if !pki.SameKey(cert.PublicKey, made.public) {
		return nil, nil, fmt.Errorf("%s signed another key than the one that was sent", p.a.Issuer)
	}
	return cert, []caRequest{newCARequest("install", "certificate", octal(pki.CertificatePEM(cert)), "chain", octal(pki.CertificatePEM(chain...)))}, nil
}

// waitForParent gives the chain of the authority above, which another host may be making right now.
func waitForParent(ctx context.Context, ca Authorities, name string, limit time.Duration) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		chain, err := ca.Chain(name)
		if !errors.Is(err, ErrPending) {
			return chain, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waited for authority %s above it: %w", name, err)
		case <-tick.C:
		}
	}
}

// canaryEnd is when the canaries of an authority end: with the root above it. Its own certificate is renewed before that, and servers are proved with the same canaries then.
func (p *authorityPlan) canaryEnd(h *Host, ca *x509.Certificate) time.Time {
	if chain, err := h.Fleet.CA.Chain(p.a.Issuer); !p.a.IsRoot() && err == nil && len(chain) > 0 {
		return chain[len(chain)-1].NotAfter
	}
	return ca.NotAfter
}

// canaryRequest asks for one canary. Nobody can use it, so that it may live long.
func (p *authorityPlan) canaryRequest(ca *x509.Certificate, id string, end, now time.Time) (caRequest, *big.Int, error) {
	pub, err := nobodysKey()
	if err != nil {
		return caRequest{}, nil, err
	}
	serial, err := pki.NewSerial(nil)
	if err != nil {
		return caRequest{}, nil, err
	}
	t := pki.Template{Profile: pki.ProfileCanary, Subject: pkix.Name{CommonName: CanaryPrefix + p.a.Name}, ValidFor: end.Sub(now)}
	tbs, algorithm, err := pki.TBS(t, pub, ca, ca.PublicKey, serial, now)
	if err != nil {
		return caRequest{}, nil, err
	}
	return newCARequest("certificate", "id", id, "serial", pki.FormatSerial(serial), "algorithm", algorithm, "profile", string(pki.ProfileCanary),
		"host", "nobody", "subject", pki.OnelineSubject(t.Subject), "revoke", yes(id == "canary-revoked"), "fresh", "yes", "tbs", octal(tbs)), serial, nil
}

// nobodysKey is a public key of which no private half was ever made: a point of P-256 found by its first coordinate, at random.
func nobodysKey() (*ecdsa.PublicKey, error) {
	curve := elliptic.P256()
	point := make([]byte, 33)
	for {
		if _, err := rand.Read(point); err != nil {
			return nil, err
		}
		point[0] = 2 // compressed, even
		if x, y := elliptic.UnmarshalCompressed(curve, point); x != nil {
			whole := make([]byte, 65)
			whole[0] = 4 // uncompressed
			x.FillBytes(whole[1:33])
			y.FillBytes(whole[33:])
			return ecdsa.ParseUncompressedPublicKey(curve, whole)
		}
	}
}

// read tells whether everything in a signing step was met.
func (p *authorityPlan) read(r transport.Result) error {
	reply, err := caResult(r)
	if err != nil {
		return fmt.Errorf("authority %s: %w", p.a.Name, err)
	}
	for _, answer := range reply.Answers {
		if err := answer.err(); err != nil {
			return fmt.Errorf("authority %s: %s: %w", p.a.Name, answer.Verb, err)
		}
	}
	return nil
}
