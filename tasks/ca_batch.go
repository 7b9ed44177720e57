package tasks

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// maxBatch is the number of certificates that one call of ca.sh signs at most.
const maxBatch = 200

// clockWarn is the difference between clocks from which on a warning is given.
const clockWarn = time.Minute

// signQueue holds what waits for one authority. What arrives while a batch is in flight forms the next.
type signQueue struct {
	mu      sync.Mutex
	waiting []*signItem
	busy    bool
}

// signItem is one certificate that somebody waits for.
type signItem struct {
	ctx   context.Context
	req   IssueRequest
	pub   crypto.PublicKey
	done  chan struct{}
	cert  *x509.Certificate
	known bool
	err   error
}

// sign queues an item and waits for it or for the end of its context.
func (c *CA) sign(a pki.Authority, item *signItem) (*x509.Certificate, error) {
	c.mu.Lock()
	q := c.queues[a.Name]
	if q == nil {
		q = &signQueue{}
		c.queues[a.Name] = q
	}
	c.mu.Unlock()
	q.mu.Lock()
	q.waiting = append(q.waiting, item)
	lead := !q.busy
	q.busy = true
	q.mu.Unlock()
	if lead {
		go c.drain(a, q)
	}
	select {
	case <-item.done:
		return item.cert, item.err
	case <-item.ctx.Done():
		return nil, item.ctx.Err()
	}
}

// drain signs batch after batch until nothing waits.
func (c *CA) drain(a pki.Authority, q *signQueue) {
	for {
		q.mu.Lock()
		n := min(len(q.waiting), maxBatch)
		batch := q.waiting[:n:n]
		q.waiting = q.waiting[n:]
		q.busy = n > 0
		q.mu.Unlock()
		if n == 0 {
			return
		}
		c.signBatch(a, batch)
		for _, item := range batch {
			close(item.done)
		}
	}
}

// signBatch fills the items' results.
func (c *CA) signBatch(a pki.Authority, batch []*signItem) {
	ctx, cancel := together(batch)
	defer cancel()
	requests, items := c.requests(a, batch)
	if len(items) == 0 {
		return
	}
	var reply *caReply
	requests = append(requests, shortStatus(a))
	step, err := c.secret.open(ctx, a, true, caStep(a, c.now(), requests...))
	if err == nil {
		reply, err = c.call(ctx, a, step)
	}
	if err == nil && len(reply.Answers) != len(requests) {
		err = fmt.Errorf("ca.sh gave %d answers to %d requests", len(reply.Answers), len(requests))
	}
	for i, item := range items {
		if err != nil {
			item.err = fmt.Errorf("authority %s: %w", a.Name, err)
			continue
		}
		if item.cert, item.known, item.err = signed(reply.Answers[i], item.pub); item.err != nil {
			item.err = fmt.Errorf("authority %s: %w", a.Name, item.err)
		}
	}
}

// together gives a context that ends when nobody waits for the batch any more.
func together(batch []*signItem) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(batch[0].ctx))
	left := atomic.Int32{}
	left.Store(int32(len(batch)))
	stops := make([]func() bool, len(batch))
	for i, item := range batch {
		stops[i] = context.AfterFunc(item.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// requests turns items into requests; an item for which there can be none gets its error here.
func (c *CA) requests(a pki.Authority, batch []*signItem) (requests []caRequest, items []*signItem) {
	for _, item := range batch {
		if item.ctx.Err() != nil {
			item.err = item.ctx.Err()
			continue
		}
		ca, err := c.Certificate(a.Name)
		if err == nil {
			var r caRequest
			if r, err = certificateRequest(ca, item.pub, item.req, c.now()); err == nil {
				requests, items = append(requests, r), append(items, item)
				continue
			}
		}
		item.err = fmt.Errorf("authority %s: %w", a.Name, err)
	}
	return requests, items
}

func certificateRequest(ca *x509.Certificate, pub crypto.PublicKey, req IssueRequest, now time.Time) (caRequest, error) {
	serial, err := pki.NewSerial(nil)
	if err != nil {
		return caRequest{}, err
	}
	t := req.Template
	if t.Profile == pki.ProfileCA {
		t = within(t, ca, now)
	}
	tbs, algorithm, err := pki.TBS(t, pub, ca, ca.PublicKey, serial, now)
	if err != nil {
		return caRequest{}, err
	}
	id, err := requestID(ca, pub, req.Template, req.Host)
	if err != nil {
		return caRequest{}, err
	}
	key, err := pki.KeyID(pub)
	if err != nil {
		return caRequest{}, err
	}
	return newCARequest("certificate", "id", id, "serial", pki.FormatSerial(serial), "algorithm", algorithm, "profile", string(req.Template.Profile),
		"host", req.Host, "key", key, "subject", pki.OnelineSubject(req.Template.Subject), "fresh", yes(req.Fresh), "tbs", octal(tbs)), nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// signed reads the certificate in an answer and sees that it is for the right key.
func signed(answer caAnswer, pub crypto.PublicKey) (cert *x509.Certificate, known bool, err error) {
	if err := answer.err(); err != nil {
		return nil, false, err
	}
	certs, err := pki.ParseCertificates(answer.Files["certificate"])
	if err != nil {
		return nil, false, fmt.Errorf("certificate from ca.sh: %w", err)
	}
	if !pki.SameKey(certs[0].PublicKey, pub) {
		return nil, false, errors.New("certificate from ca.sh is for another key than the one that was sent")
	}
	return certs[0], answer.field("known") == "yes", nil
}

// call runs one step on an authority's host. A status in the answers becomes the host's view of the authority.
func (c *CA) call(ctx context.Context, a pki.Authority, step transport.Step) (*caReply, error) {
	results, err := c.do(ctx, a.Host, step)
	if err != nil {
		return nil, err
	}
	if len(results) != 1 {
		return nil, fmt.Errorf("%s: not run", step.Name())
	}
	reply, err := caResult(results[0])
	if err != nil {
		return nil, fmt.Errorf("on %s: %w", a.Host, err)
	}
	if reply.Skew.Abs() > clockWarn {
		c.warn("the clock of %s differs by %s from the one here: set the clocks (over %s nothing is signed)", a.Host, reply.Skew, pki.Backdate)
	}
	for _, note := range reply.Notes {
		c.warn("authority %s on %s: %s", a.Name, a.Host, note)
	}
	if _, err := reply.answer("status"); err == nil {
		if view := c.views(a.Host); view != nil {
			r := results[0]
			r.Key = KeyAuthority(a.Name)
			view.Put(r)
		}
	}
	return reply, nil
}
