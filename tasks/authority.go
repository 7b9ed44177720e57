package tasks

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "authority",
	Summary: "A certificate authority: key, certificate, records and list of revoked certificates",
	Doc: `Makes the authorities that the inventory places on this host, parents first. The private key is made by the host's own openssl and never leaves
it; it has a passphrase, or is in a token, where the inventory says so. A root signs itself; for an intermediate only the request travels to the authority above and only the certificate travels back. Each
authority gets its list of revoked certificates at once, and two canaries: test certificates, one good and one revoked, whose key was
destroyed when they were made.

Where the one above is offline or not ours, the request is kept beside the inventory, and the task waits for the answer (pgfleet authority requests, pgfleet authority answer).

Found and taken over: certificates revoked by hand with ` + "`openssl ca -revoke`" + `. Refused: a folder that holds something else, a key or a certificate
that is missing or does not belong, a subject or type of key that differs from the declared one (declare a new authority instead),
a root that has ended. An intermediate is renewed from its own key when two thirds of its life are gone, when it has ended, or with force, until its root's end at most; its list of
revoked certificates is renewed with it. A root is not: those who believe it have to learn a new one first.`,
	Example: "authority: {}",
	New:     func() Task { return &authorityTask{} },
	Roles:   []string{"root_ca", "intermediate_ca"},
})

// authorityTask is the kind authority.
type authorityTask struct {
	Name  string `param:"name" doc:"only this authority; none: every one that the inventory places on this host"`
	Force bool   `param:"force" doc:"renew the certificates of intermediates now, due or not; the key stays"`
	Only  string `param:"only" allowed:"renew" doc:"renew: only intermediates' certificates that are there and due, and the chain above them"`

	forced followed
}

// Needs gives one probe an authority.
func (t *authorityTask) Needs(h *Host) []transport.Step {
	var steps []transport.Step
	for _, a := range t.chosen(h) {
		steps = append(steps, AuthorityProbe(a))
	}
	return steps
}

// chosen are the authorities of this host that the task is about, parents first.
func (t *authorityTask) chosen(h *Host) []pki.Authority {
	var out []pki.Authority
	for name, a := range h.Fleet.Authorities {
		if a.Host == h.Name && a.Ours() && (t.Name == "" || t.Name == name) {
			out = append(out, a)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		di, dj := depth(h.Fleet.Authorities, out[i]), depth(h.Fleet.Authorities, out[j])
		return di < dj || di == dj && out[i].Name < out[j].Name
	})
	return out
}

// depth is the number of authorities above a; a circle ends the count.
func depth(declared map[string]pki.Authority, a pki.Authority) int {
	for n := 0; n <= len(declared); n++ {
		up, ok := declared[a.Issuer]
		if !ok {
			return n
		}
		a = up
	}
	return len(declared)
}

// height is the number of authorities in the longest line below name.
func height(declared map[string]pki.Authority, name string, seen ...string) int {
	most := 0
	for child, a := range declared {
		if a.Issuer == name && !slices.Contains(seen, child) {
			most = max(most, 1+height(declared, child, append(seen, name)...))
		}
	}
	return most
}

// Check compares every chosen authority with what it should be.
func (t *authorityTask) Check(_ context.Context, h *Host) (*Change, error) {
	chosen := t.chosen(h)
	if len(chosen) == 0 {
		return nil, t.none(h)
	}
	dirs := map[string]string{}
	var plans []*authorityPlan
	var waits *WaitingError
	for _, a := range chosen {
		if other, taken := dirs[a.DirOrDefault()]; taken {
			return nil, fmt.Errorf("authorities %s and %s have the same folder %s: %w", other, a.Name, a.DirOrDefault(), ErrRefused)
		}
		dirs[a.DirOrDefault()] = a.Name
		if h.Fleet.CheckOnly && h.View.Planned(KeyAuthority(a.Name)) {
			continue // shown by an earlier play: a host can be there for roots and for intermediates
		}
		above := slices.ContainsFunc(plans, func(p *authorityPlan) bool { return p.a.Name == a.Issuer && p.certificate })
		p, err := t.plan(h, a, above)
		if err != nil {
			return nil, fmt.Errorf("authority %s on %s: %w", a.Name, h.Name, err)
		}
		if p != nil && len(p.reasons) > 0 {
			plans = append(plans, p)
		}
		if p != nil {
			waits = waits.also(p.waits)
		}
	}
	if len(plans) == 0 {
		return nil, orNil(waits)
	}
	return t.change(h, plans), nil
}

// none says why there is nothing to do on a host.
func (t *authorityTask) none(h *Host) error {
	if t.Name == "" {
		return fmt.Errorf("the inventory places no authority on %s: name it as host of one under authorities, or take the role away: %w", h.Name, ErrRefused)
	}
	a, ok := h.Fleet.Authorities[t.Name]
	switch {
	case !ok:
		known := map[string]bool{}
		for n := range h.Fleet.Authorities {
			known[n] = true
		}
		return fmt.Errorf("authority %q is not declared in the inventory%s: %w", t.Name, Suggest(t.Name, known), ErrRefused)
	case !a.Ours():
		return fmt.Errorf("authority %s is offline or external: there is nothing to make on a host (pgfleet authority requests says what it has to sign): %w", t.Name, ErrRefused)
	}
	return fmt.Errorf("authority %s is on host %s, not on %s: %w", t.Name, a.Host, h.Name, ErrRefused)
}

// change is the change of one host for all its plans.
func (t *authorityTask) change(h *Host, plans []*authorityPlan) *Change {
	c := &Change{}
	var summaries, diffs []string
	for _, p := range plans {
		summaries = append(summaries, p.a.Name+": "+inShort(p.reasons, 2, ", "))
		diffs = append(diffs, p.diff(h))
		c.Touches = append(c.Touches, KeyAuthority(p.a.Name), "restricted:"+p.a.Name) // what its program answered before it was there, too
	}
	c.Summary, c.Diff = strings.Join(summaries, "; "), strings.Join(diffs, "\n")
	var last *authorityPlan
	c.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		closing, p, err := applyAuthorities(ctx, h, plans, do)
		if last = p; p != nil {
			c.Shows = []string{KeyAuthority(p.a.Name)}
		}
		return closing, err
	}
	c.Then = func(results []transport.Result) error {
		if last != nil && len(results) > 0 {
			if err := last.read(results[0]); err != nil {
				return err
			}
		}
		for _, p := range plans {
			t.forced.add(p.a.Name)
		}
		return nil
	}
	return c
}
