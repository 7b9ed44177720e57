package tasks

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// CanaryPrefix begins the common name of every canary: a database role of such a name is refused.
const CanaryPrefix = "pgfleet-canary-"

// CA is the live access to a fleet's authorities; it implements Authorities.
type CA struct {
	declared map[string]pki.Authority
	views    func(host string) *View
	do       func(ctx context.Context, host string, steps ...transport.Step) ([]transport.Result, error)
	now      func() time.Time
	secret   KeySecret

	mu       sync.Mutex
	seen     map[string]seenAuthority
	queues   map[string]*signQueue
	warnings []string
	told     map[string]bool
}

// seenAuthority is the state that a probe's output was parsed to.
type seenAuthority struct {
	out   *byte
	state *AuthorityState
	err   error
}

// NewAuthorities gives access to the authorities that are declared. views gives what is known of a host, nil for an unknown one; do runs
// steps on a host. State is read from the probe of each authority (AuthorityProbe) in its host's view, and each answer updates that view.
func NewAuthorities(declared map[string]pki.Authority, views func(host string) *View,
	do func(ctx context.Context, host string, steps ...transport.Step) ([]transport.Result, error), now func() time.Time) Authorities {
	return &CA{declared: declared, views: views, do: do, now: now, seen: map[string]seenAuthority{}, queues: map[string]*signQueue{}, told: map[string]bool{}}
}

// KeySecrets has the passphrases of keys asked for with secret.
func (c *CA) KeySecrets(secret KeySecret) { c.secret = secret }

// Certificate gives an authority's own certificate, ErrPending when it is not made yet.
func (c *CA) Certificate(name string) (*x509.Certificate, error) {
	chain, err := c.Chain(name)
	if err != nil {
		return nil, err
	}
	return chain[0], nil
}

// Chain gives an authority's certificate and those above it, its root last. ErrPending when it is not made yet.
func (c *CA) Chain(name string) ([]*x509.Certificate, error) {
	a, err := c.authority(name)
	if err != nil {
		return nil, err
	}
	if a.Foreign() {
		return foreignChain(c.declared, a)
	}
	state, err := c.state(a)
	if err != nil {
		return nil, err
	}
	if state.Certificate == nil {
		if err := c.waits(a, state); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("certificate of authority %s: %w", name, ErrPending)
	}
	return append([]*x509.Certificate{state.Certificate}, state.Chain...), nil
}

// CRL gives an authority's newest list, ErrPending when there is none yet, ErrRefused when it lacks what the authority's own records say is revoked.
func (c *CA) CRL(name string) (*x509.RevocationList, error) {
	a, err := c.authority(name)
	if err != nil {
		return nil, err
	}
	if a.Foreign() {
		chain, err := c.Chain(name)
		if err != nil {
			return nil, err
		}
		return foreignList(a, chain[0])
	}
	state, err := c.state(a)
	if err != nil {
		return nil, err
	}
	if state.CRL == nil {
		return nil, fmt.Errorf("list of authority %s: %w", name, ErrPending)
	}
	if lacking := state.lacking(c.now()); lacking != "" {
		return nil, fmt.Errorf("%w: the list of authority %s lacks %s, which its records say is revoked: run the playbook crl, which makes a new one", ErrRefused, name, lacking)
	}
	return state.CRL, nil
}

// Canaries gives the good and the revoked test certificate of an authority, ErrPending when they are not made yet, ErrRefused when they
// have ended.
func (c *CA) Canaries(name string) (good, revoked *x509.Certificate, err error) {
	a, err := c.authority(name)
	if err != nil {
		return nil, nil, err
	}
	if !a.Ours() {
		return nil, nil, fmt.Errorf("authority %s is not ours and has no canaries: %w", name, ErrRefused)
	}
	state, err := c.state(a)
	if err != nil {
		return nil, nil, err
	}
	if state.Good == nil || state.Bad == nil {
		return nil, nil, fmt.Errorf("canaries of authority %s: %w", name, ErrPending)
	}
	for _, cert := range []*x509.Certificate{state.Good, state.Bad} {
		if !c.now().Before(cert.NotAfter) {
			return nil, nil, fmt.Errorf("%w: they ended on %s: pgfleet run mtls, on the whole fleet, makes new ones", ErrRefused, cert.NotAfter.UTC().Format("2006-01-02"))
		}
	}
	return state.Good, state.Bad, nil
}

// Warnings gives what there is to be said since the last call: authorities that are due, clocks that are off, certificates found in
// index.txt.
func (c *CA) Warnings() []string {
	c.warnDue()
	c.warnInstalled()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.warnings
	c.warnings = nil
	return out
}

// warn keeps a text once.
func (c *CA) warn(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !c.told[text] {
		c.told[text] = true
		c.warnings = append(c.warnings, text)
	}
}

// warnDue names authorities that soon cannot sign any more. A root is not renewed by itself: those who trust it have to learn the new one first.
func (c *CA) warnDue() {
	now := c.now()
	for name, a := range c.declared {
		cert, err := c.Certificate(name)
		if err != nil {
			continue
		}
		end := cert.NotAfter.UTC().Format("2006-01-02")
		if due, why := pki.Renew(cert, pki.RenewPolicy{}, now); due {
			if a.Ours() && !a.IsRoot() {
				continue // it is renewed by itself, as long as the root above it lives
			}
			state := "is due, " + why + ": it ends on " + end
			if !now.Before(cert.NotAfter) {
				state = "ended on " + end
			}
			next := "declare its successor (replaces: " + name + ") and"
			if by := pki.Successor(c.declared, name); by != "" {
				next = "its successor " + by + " is declared:"
			}
			c.warn("authority %s %s; %s run pgfleet rotate-ca", name, state, next)
		} else if a.Ours() && cert.NotAfter.Before(now.Add(a.LeafLife())) {
			c.warn("authority %s ends on %s, sooner than a certificate of %s that it may be asked for", name, end, days(a.LeafLife()))
		}
	}
}

func (c *CA) authority(name string) (pki.Authority, error) {
	a, ok := c.declared[name]
	if !ok {
		known := map[string]bool{}
		for n := range c.declared {
			known[n] = true
		}
		return a, fmt.Errorf("authority %q is not declared in the inventory%s: %w", name, Suggest(name, known), ErrRefused)
	}
	return a, nil
}

// state reads the newest probe in the view of the authority's host.
func (c *CA) state(a pki.Authority) (*AuthorityState, error) {
	view := c.views(a.Host)
	if view == nil {
		return nil, fmt.Errorf("host %s of authority %s: %w", a.Host, a.Name, ErrPending)
	}
	r, err := view.Get(KeyAuthority(a.Name))
	if err != nil {
		return nil, err
	}
	if r.Err != nil || len(r.Stdout) == 0 {
		_, err := ParseAuthority(r)
		return nil, fmt.Errorf("look at authority %s on %s: %w", a.Name, a.Host, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.seen[a.Name]
	if !ok || s.out != &r.Stdout[0] {
		s = seenAuthority{out: &r.Stdout[0]}
		if s.state, s.err = ParseAuthority(r); s.err != nil {
			s.err = fmt.Errorf("look at authority %s on %s: %w", a.Name, a.Host, s.err)
		}
		c.seen[a.Name] = s
	}
	return s.state, s.err
}

// Issue has an authority sign: see Authorities. ErrRefused when it must not, pki.ErrAuthorityDue when it ends too soon, ErrPending when it
// has no certificate yet.
func (c *CA) Issue(ctx context.Context, name string, req IssueRequest) (*x509.Certificate, error) {
	a, err := c.authority(name)
	if err != nil {
		return nil, err
	}
	pub, err := c.acceptable(a, req)
	if err != nil {
		return nil, err
	}
	if a.Foreign() {
		return c.issueElsewhere(a, req, pub)
	}
	item := &signItem{ctx: ctx, req: req, pub: pub, done: make(chan struct{})}
	if item.cert, err = c.sign(a, item); err != nil {
		return nil, err
	}
	// Whoever could ask in our place may have left another one under this request's id.
	if item.known && (!c.now().Before(item.cert.NotAfter) || pki.Differs(item.cert, req.Template, c.now()) != "") {
		again := &signItem{ctx: ctx, req: req, pub: pub, done: make(chan struct{})}
		again.req.Fresh = true
		return c.sign(a, again)
	}
	return item.cert, nil
}

// acceptable refuses what no authority is asked to sign, before anything is sent.
func (c *CA) acceptable(a pki.Authority, req IssueRequest) (crypto.PublicKey, error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("authority %s: "+format+": %w", append(append([]any{a.Name}, args...), ErrRefused)...)
	}
	t := req.Template
	switch {
	case a.Mode != "" && a.Mode != "convenient" && !a.Restricted():
		return nil, refuse("mode %q is not convenient or restricted", a.Mode)
	case req.Host == "":
		return nil, refuse("the request names no host")
	case t.Profile == pki.ProfileCanary, strings.HasPrefix(t.Subject.CommonName, CanaryPrefix):
		return nil, refuse("names that begin with %s are for canaries", CanaryPrefix)
	case t.Profile != pki.ProfileCA && len(a.Profiles) > 0 && !slices.Contains(a.Profiles, t.Profile):
		return nil, refuse("profile %s is not among its profiles in the inventory", t.Profile)
	case t.Profile != pki.ProfileCA && t.ValidFor > a.LeafLife():
		return nil, refuse("a life of %s is longer than the %s that its leaf_valid_for allows", days(t.ValidFor), days(a.LeafLife()))
	}
	if err := allowedNames(a, t); err != nil {
		return nil, refuse("%v", err)
	}
	pub, err := pki.CheckCSR(req.CSR)
	if err != nil {
		return nil, refuse("%v", err)
	}
	if !a.Foreign() {
		state, err := c.state(a)
		if err != nil {
			return nil, err
		}
		if err := cmp.Or(refuseKey(a, state), refusePair(a, state), refuseLost(a, state)); err != nil {
			return nil, fmt.Errorf("authority %s: %w", a.Name, err)
		}
	}
	chain, err := c.Chain(a.Name)
	if err != nil && (AsWaiting(err) == nil || !a.Foreign()) {
		return nil, err
	}
	for _, ca := range chain {
		if pki.SameKey(ca.PublicKey, pub) {
			return nil, refuse("the key is that of authority %s itself", pki.CertTitle(ca))
		}
		if t.Profile == pki.ProfileServer && pki.KeyType(ca.PublicKey) == "ed25519" {
			return nil, refuse("%s above it has an Ed25519 key, which breaks password logins to servers (SCRAM channel binding)", pki.CertTitle(ca))
		}
	}
	return pub, nil
}

func days(d time.Duration) string { return fmt.Sprintf("%dd", d/(24*time.Hour)) }

// allowedNames holds the names of a leaf against the authority's patterns; '*' stands for any text.
func allowedNames(a pki.Authority, t pki.Template) error {
	if len(a.AllowedNames) == 0 || t.Profile == pki.ProfileCA {
		return nil
	}
	names := append([]string(nil), t.DNSNames...)
	for _, ip := range t.IPAddresses {
		names = append(names, ip.String())
	}
	if t.Subject.CommonName != "" && !slices.Contains(names, t.Subject.CommonName) {
		names = append(names, t.Subject.CommonName)
	}
	for _, name := range names {
		if !slices.ContainsFunc(a.AllowedNames, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			return fmt.Errorf("name %q is not among its allowed_names", name)
		}
	}
	return nil
}

// requestID is the same for requests that ask for the same: authority's key, key, profile, names, life.
func requestID(ca *x509.Certificate, pub crypto.PublicKey, t pki.Template, host string) (string, error) {
	h := sha256.New()
	for _, key := range []crypto.PublicKey{ca.PublicKey, pub} {
		id, err := pki.KeyID(key)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, id)
	}
	names := append([]string(nil), t.DNSNames...)
	for _, ip := range t.IPAddresses {
		names = append(names, "ip "+ip.String())
	}
	slices.Sort(names)
	fmt.Fprintf(h, "%s\n%q\n%q\n%d\n%d\n%q\n", t.Profile, pki.FormatSubject(t.Subject), names, t.ValidFor, t.MaxPathLen, host)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readExternal reads the file of an authority that is not ours: its certificate, those above it, and lists if there are any.
func readExternal(a pki.Authority) ([]*x509.Certificate, []*x509.RevocationList, error) {
	data, err := os.ReadFile(a.External)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of external authority %s: %w", a.Name, err)
	}
	certs, lists, err := pki.ParseBundle(data)
	if err == nil && len(certs) == 0 {
		err = errors.New("no certificate in PEM found")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of external authority %s: %s: %w", a.Name, a.External, err)
	}
	return certs, lists, nil
}
