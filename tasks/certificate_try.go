package tasks

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// A client's new certificate is tried before anything is switched: with its files where they are, at every server that the identity uses. So an application never
// meets one that its servers do not accept.

// trial is one login with the certificate that shall be put in force, and the same with the one that is.
type trial struct{ next, now verifyCase }

// tryNew writes the files of new certificates that replace one, and logs in with them. The error names the servers that accept the certificate in force and not
// the new one. What fails with both is not the new one's fault, and is left to verification.
func (t *certificateTask) tryNew(ctx context.Context, do Doer, h *Host, work []*clientWork, certs []*x509.Certificate) error {
	var writes []transport.Step
	var trials []trial
	for i, w := range work {
		if w.plan.Why == "" || w.st.Current.leaf() == nil {
			continue
		}
		leaf := certs[i]
		if leaf == nil {
			leaf = w.plan.version(w.plan.Gen).leaf()
		}
		more, err := w.trials(ctx, h, leaf)
		if err != nil {
			return err
		}
		trials = append(trials, more...)
		writes = append(writes, w.plan.writeSteps(certs[i], 0o600)...)
		w.written = true
	}
	if len(writes) == 0 {
		return nil
	}
	results, err := do.Do(ctx, writes...)
	if err != nil {
		return err
	}
	if err := transport.Failed(writes, results); err != nil {
		return err
	}
	return tryAll(ctx, do, h, trials)
}

// trials are the logins of one identity. A server that nothing is known of, or whose rules are nobody's, is left out.
func (w *clientWork) trials(ctx context.Context, h *Host, leaf *x509.Certificate) ([]trial, error) {
	now := w.st.filesNow()
	next := now
	next.Cert, next.Key = w.plan.base()+"/v/"+w.plan.Gen+"/client.crt", w.plan.base()+"/v/"+w.plan.Gen+"/client.key"
	services, err := servicesOf(h, w.st, now)
	if err != nil {
		return nil, err
	}
	level := &verify{Level: "quick"}
	var out []trial
	for _, s := range services {
		c, err := level.pair(h, s)
		if err != nil || s.Port == 0 || c.stage == postgres.Altered {
			continue
		}
		_ = c.readPassword(ctx, h, level) // without one, being asked for it is as far as the login has to get
		old := c.logins(level)
		c.service.Files, c.chain, c.serial = next, w.plan.by.servedChain(leaf), leaf.SerialNumber.String()
		for i, login := range c.logins(level) {
			out = append(out, trial{login, old[i]})
		}
	}
	return out, nil
}

// tryAll makes the logins with the new certificates. Where one fails, the same is tried with the certificate in force, and once more with the new one: a server
// may just have been restarting.
func tryAll(ctx context.Context, do Doer, h *Host, trials []trial) error {
	via, ok := do.(Prober)
	if !ok {
		via = notForwarding{do}
	}
	var servers []string
	for _, t := range trials {
		servers = append(servers, t.next.service.Server)
	}
	leave, err := h.Fleet.Gate.Enter(ctx, servers...)
	if err != nil {
		return err
	}
	defer leave()
	cells, err := runCases(ctx, cases(trials, func(t trial) verifyCase { return t.next }), via)
	if err != nil {
		return err
	}
	var doubtful []trial
	var wrong []Cell
	for i, c := range cells {
		if !c.OK && !c.NotProven {
			doubtful, wrong = append(doubtful, trials[i]), append(wrong, c)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	before, err := runCases(ctx, cases(doubtful, func(t trial) verifyCase { return t.now }), via)
	if err != nil {
		return err
	}
	again, err := runCases(ctx, cases(doubtful, func(t trial) verifyCase { return t.next }), via)
	if err != nil {
		return err
	}
	var worse []string
	for i, c := range before {
		if c.OK && !again[i].OK {
			worse = append(worse, fmt.Sprintf("%s at %s: %s", wrong[i].Identity, wrong[i].Target, strings.TrimSuffix(wrong[i].Got+" ("+wrong[i].Detail+")", " ()")))
		}
	}
	if len(worse) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the new certificate is not accepted where the one in force is, so nothing was switched: %s", ErrRefused, inShort(worse, 3, "; "))
}

func cases(trials []trial, of func(trial) verifyCase) []verifyCase {
	var out []verifyCase
	for _, t := range trials {
		out = append(out, of(t))
	}
	return out
}

// servedChain is what is presented with a leaf, without the root.
func (i *issuing) servedChain(leaf *x509.Certificate) []*x509.Certificate {
	return append([]*x509.Certificate{leaf}, slices.DeleteFunc(slices.Clone(i.chain), isRoot)...)
}

// notForwarding is a Doer as a Prober that reaches nothing: tests that need that are not proven.
type notForwarding struct{ Doer }

// Dial fails.
func (notForwarding) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, transport.ErrForwarding
}
