package tasks

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// revokeTries is how often Revoke makes the list anew because somebody else revoked at the same time.
const revokeTries = 3

// Revoke puts certificates of an authority among the revoked and makes a new list, in one round trip; with no serial number it only makes
// a new list. A certificate that was revoked before keeps its time and reason. life 0 ends the list with the authority.
// Asked again after a lost connection it ends in the same state. The list still has to be brought to the servers.
func (c *CA) Revoke(ctx context.Context, name, reason string, life time.Duration, serials ...*big.Int) (*x509.RevocationList, error) {
	a, err := c.authority(name)
	if err != nil {
		return nil, err
	}
	if !a.Ours() {
		return nil, fmt.Errorf("authority %s is not ours: have its owner revoke, and bring the new list: %w", name, ErrRefused)
	}
	code, err := pki.ParseReason(reason)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrRefused)
	}
	for range revokeTries {
		var again bool
		if again, err = c.revokeOnce(ctx, a, pki.ReasonName(code), code, life, serials); !again {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", name, err)
	}
	return c.CRL(name)
}

// revokeOnce tells whether the list was refused because the records had changed since they were seen.
func (c *CA) revokeOnce(ctx context.Context, a pki.Authority, reason string, code int, life time.Duration, serials []*big.Int) (again bool, err error) {
	ca, err := c.Certificate(a.Name)
	if err != nil {
		return false, err
	}
	state, err := c.state(a)
	if err != nil {
		return false, err
	}
	now := c.now()
	revoked := append([]pki.Revoked(nil), state.Revoked...)
	var requests []caRequest
	for _, s := range serials {
		requests = append(requests, newCARequest("revoke", "serial", pki.FormatSerial(s), "reason", reason))
		if !listed(state.Revoked, s) {
			revoked = append(revoked, pki.Revoked{Serial: s, At: now, Reason: code})
		}
	}
	tbs, algorithm, err := pki.CRLTBS(ca, state.NextNumber, revoked, life, now)
	if err != nil {
		return false, err
	}
	requests = append(requests, newCARequest("crl", "number", pki.FormatSerial(state.NextNumber), "algorithm", algorithm, "tbs", octal(tbs)), newCARequest("status"))
	reply, err := c.call(ctx, a, caStep(a, now, requests...))
	if err != nil {
		return false, err
	}
	for _, answer := range reply.Answers {
		if err := answer.err(); err != nil {
			return answer.Verb == "crl" && answer.field("stale") == "yes", err
		}
	}
	return false, nil
}

func listed(revoked []pki.Revoked, serial *big.Int) bool {
	for _, r := range revoked {
		if r.Serial.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}
