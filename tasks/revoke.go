package tasks

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "revoke",
	Summary: "revoke certificates at the authorities of this host, and make their lists of revoked certificates",
	Doc: `Each certificate that is named and that an authority on this host has issued is put on record as revoked, and the authority makes a new list, all in one
round trip. One that was revoked before keeps its time and reason. A list is also made where there is none, where it lacks what the records say, where it has ended or has
passed two thirds of its life, and with list: new in any case. Its number rises with each.

Lists end with their authority: they are brought to servers and clients, so nothing is gained by their ending sooner, and one that has ended locks everybody out. The
kind crl brings them there.

Refused: a serial number that the authority has not issued; its own test certificates.`,
	Example: "revoke: {certificates: [\"clients:4A3F9C01\"], reason: keyCompromise}",
	New:     func() Task { return &revokeTask{} },
	Roles:   []string{"root_ca", "intermediate_ca"},
})

// revokeTries is how often a list is made anew because somebody else revoked at the same time.
const revokeTries = 3

// revokeTask is the kind revoke.
type revokeTask struct {
	Certificates []string `param:"certificates" doc:"certificates as AUTHORITY:SERIAL, the serial number in hexadecimal digits; those of authorities on other hosts are left to these"`
	Reason       string   `param:"reason" default:"unspecified" allowed:"unspecified keyCompromise CACompromise affiliationChanged superseded cessationOfOperation certificateHold" doc:"why, as openssl names it; after keyCompromise the holder gets a new key"`
	List         string   `param:"list" default:"due" allowed:"due new" doc:"due: a new list when one is needed; new: in any case"`

	named []namedCertificate
	// renewed are the authorities whose list this run has made anew.
	renewed map[string]bool
}

// Validate reads the certificates.
func (t *revokeTask) Validate() (errs []*ParamError) {
	t.named, errs = readCertificates(t.Certificates)
	return errs
}

// Relies names the authorities of the certificates.
func (t *revokeTask) Relies() map[string][]string { return authoritiesOf(t.Certificates) }

// Needs gives one probe an authority.
func (t *revokeTask) Needs(h *Host) []transport.Step { return new(authorityTask).Needs(h) }

// revocation is what is to be done at one authority.
type revocation struct {
	a       pki.Authority
	state   *AuthorityState
	serials []*big.Int
	reasons []string
}

// Check compares the records and lists of the authorities on this host.
func (t *revokeTask) Check(_ context.Context, h *Host) (*Change, error) {
	var work []*revocation
	c := &Change{}
	var titles []string
	for _, a := range new(authorityTask).chosen(h) {
		w, err := t.plan(h, a)
		if err != nil {
			return nil, fmt.Errorf("authority %s on %s: %w", a.Name, h.Name, err)
		}
		if w == nil {
			continue
		}
		work = append(work, w)
		titles = append(titles, a.Name+": "+inShort(w.reasons, 2, ", "))
		c.Diff += a.Name + ": " + strings.Join(w.reasons, "\n  ") + "\n"
		c.Touches = append(c.Touches, KeyAuthority(a.Name))
	}
	if len(work) == 0 {
		return nil, nil
	}
	c.Summary = strings.Join(titles, "; ")
	c.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		for _, w := range work {
			if err := t.apply(ctx, h, w, do); err != nil {
				return nil, fmt.Errorf("authority %s: %w", w.a.Name, err)
			}
		}
		return nil, nil
	}
	return c, nil
}

// plan gives what is to be done at one authority; nil: nothing.
func (t *revokeTask) plan(h *Host, a pki.Authority) (*revocation, error) {
	r, err := h.View.Get(KeyAuthority(a.Name))
	if err != nil {
		return nil, err
	}
	state, err := ParseAuthority(r)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", a.DirOrDefault(), err)
	}
	if err := refuseState(a, state, h.Fleet.Now); err != nil {
		return nil, err
	}
	w := &revocation{a: a, state: state}
	for _, c := range t.named {
		if c.authority != a.Name || listed(state.Revoked, c.serial) {
			continue
		}
		if state.Good != nil && state.Good.SerialNumber.Cmp(c.serial) == 0 {
			return nil, fmt.Errorf("%w: %s is its test certificate, with which servers are proved", ErrRefused, pki.FormatSerial(c.serial))
		}
		w.serials = append(w.serials, c.serial)
		w.reasons = append(w.reasons, fmt.Sprintf("revoke %s (%s)", pki.FormatSerial(c.serial), t.Reason))
	}
	if state.Certificate == nil {
		if len(w.serials) > 0 {
			return nil, fmt.Errorf("%w: it has no certificate yet, so it has issued none", ErrRefused)
		}
		return nil, nil
	}
	list := &authorityPlan{a: a, state: state}
	list.planList(h.Fleet.Now)
	w.reasons = append(w.reasons, list.reasons...)
	for _, d := range state.Differs {
		if serial, ok := strings.CutPrefix(d, "revoked "); ok {
			w.reasons = append(w.reasons, "list "+serial+", which was revoked by hand")
		}
	}
	if t.List == "new" && !t.renewed[a.Name] && len(w.reasons) == 0 {
		w.reasons = append(w.reasons, "renew the list of revoked certificates (asked for)")
	}
	if len(w.reasons) == 0 {
		return nil, nil
	}
	return w, refuseLost(a, state)
}

// apply revokes and makes the list in one call; once more when somebody else has changed the records meanwhile.
func (t *revokeTask) apply(ctx context.Context, h *Host, w *revocation, do Doer) error {
	for try := 1; ; try++ {
		requests, err := t.requests(w, h.Fleet.Now)
		if err != nil {
			return err
		}
		step, err := h.Fleet.KeySecret.open(ctx, w.a, true, caStep(w.a, h.Fleet.Now, append(requests, shortStatus(w.a))...))
		if err != nil {
			return err
		}
		results, err := do.Do(ctx, step)
		if err == nil {
			err = transport.Failed([]transport.Step{step}, results)
		}
		if err != nil {
			return err
		}
		again, err := w.read(results[0])
		if again && try < revokeTries {
			continue
		}
		if err == nil {
			if t.renewed == nil {
				t.renewed = map[string]bool{}
			}
			t.renewed[w.a.Name] = true
		}
		return err
	}
}

// requests asks for every revocation, then for a list that holds them all.
func (t *revokeTask) requests(w *revocation, now time.Time) ([]caRequest, error) {
	code, err := pki.ParseReason(t.Reason)
	if err != nil {
		return nil, err
	}
	var out []caRequest
	revoked := slices.Clone(w.state.Revoked)
	for _, serial := range w.serials {
		out = append(out, newCARequest("revoke", "serial", pki.FormatSerial(serial), "reason", t.Reason))
		if !listed(revoked, serial) {
			revoked = append(revoked, pki.Revoked{Serial: serial, At: now, Reason: code})
		}
	}
	tbs, algorithm, err := pki.CRLTBS(w.state.Certificate, w.state.NextNumber, revoked, now)
	if err != nil {
		return nil, err
	}
	return append(out, newCARequest("crl", "number", pki.FormatSerial(w.state.NextNumber), "algorithm", algorithm, "tbs", octal(tbs))), nil
}

// read tells whether everything was met. again: the list was made for records that have changed since; w has the state of now.
func (w *revocation) read(r transport.Result) (again bool, err error) {
	reply, err := caResult(r)
	if err != nil {
		return false, err
	}
	for _, answer := range reply.Answers {
		if err := answer.err(); err != nil {
			if again = answer.Verb == "crl" && answer.field("stale") == "yes"; !again {
				return false, err
			}
			state, bad := ParseAuthority(r)
			if bad != nil {
				return false, bad
			}
			w.state = state
			return true, err
		}
	}
	return false, nil
}

func listed(revoked []pki.Revoked, serial *big.Int) bool {
	return slices.ContainsFunc(revoked, func(r pki.Revoked) bool { return r.Serial.Cmp(serial) == 0 })
}
