package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
)

// attempts is how often a connection is tried that ends before the key exchange: sshd drops some at random when many come at once
// (MaxStartups, sshd_config(5)).
const attempts = 5

// client is one logged-in SSH connection.
type client struct {
	*ssh.Client
	// took is the time for dial, key exchange and login; dialled the number of TCP connections made for it.
	took    time.Duration
	dialled int

	once  sync.Once
	done  chan struct{}
	cause error
}

// close ends the connection for good; the first cause stays.
func (c *client) close(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
		c.Client.Close()
	})
}

// lost gives the reason for which the connection ended, or err where it is open.
func (c *client) lost(err error) error {
	select {
	case <-c.done:
		return c.cause
	default:
		return err
	}
}

func address(t transport.Target) string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Address, strconv.Itoa(port))
}

// connect dials and logs in, through t's bastions.
func (p *Pool) connect(ctx context.Context, t transport.Target) (*client, error) {
	select {
	case p.dials <- struct{}{}:
	case <-ctx.Done():
		return nil, unreachable(t, ctx.Err())
	}
	defer func() { <-p.dials }()
	var err error
	for try := range attempts {
		if try > 0 {
			if !sleep(ctx, time.Duration(float64(time.Second)*(0.1+rand.Float64())*float64(try))) {
				break
			}
		}
		var c *client
		c, err = p.tryConnect(ctx, t)
		if err == nil {
			c.dialled += try
			return c, nil
		}
		var again *tooEarly
		if !errors.As(err, &again) || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tooEarly marks a connection that the other side ended before the key exchange; such a one may be tried again.
type tooEarly struct{ error }

func (e *tooEarly) Unwrap() error { return e.error }

// unreachable wraps err once in the class ErrUnreachable, with the place.
func unreachable(t transport.Target, err error) error {
	if errors.Is(err, transport.ErrUnreachable) {
		return err
	}
	// The place is said already, and that it was dialled.
	if op, ok := err.(*net.OpError); ok && op.Op == "dial" && op.Err != nil { //nolint:errorlint // what wraps it says something of its own
		err = op.Err
	}
	out := fmt.Errorf("%w: %s: %w", transport.ErrUnreachable, address(t), err)
	if lookup := new(net.DNSError); errors.As(err, &lookup) && lookup.IsNotFound {
		return &hinted{out, "make the name resolve here, or give the host its address in the inventory (address: 192.0.2.1)"}
	}
	return out
}

// hinted is an error with what the user can do about it.
type hinted struct {
	error
	hint string
}

// Hint is what to do about it.
func (e *hinted) Hint() string { return e.hint }

func (e *hinted) Unwrap() error { return e.error }

func (p *Pool) tryConnect(ctx context.Context, t transport.Target) (*client, error) {
	bastion, err := p.bastion(ctx, t.Jumps)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, connectTimeout(t), fmt.Errorf("no connection within %v", connectTimeout(t)))
	defer cancel()
	raw, err := p.dial(limited, bastion, address(t))
	if err != nil {
		return nil, unreachable(t, causeOf(limited, err))
	}
	c, err := p.handshake(limited, t, raw)
	if err != nil {
		return nil, err
	}
	c.took, c.dialled = time.Since(begin), 1
	go c.keepAlive(t)
	return c, nil
}

// causeOf prefers the reason of a context that is over to the error that followed from it.
func causeOf(ctx context.Context, err error) error {
	var late net.Error
	if at, limited := ctx.Deadline(); limited && errors.As(err, &late) && late.Timeout() && !time.Now().Before(at) {
		<-ctx.Done() // the socket has a clock of its own for the same limit, and can be first by a moment
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *Pool) dial(ctx context.Context, bastion *client, addr string) (net.Conn, error) {
	switch {
	case bastion != nil:
		raw, err := bastion.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("through %s: %w", bastion.RemoteAddr(), bastion.lost(err))
		}
		return raw, nil
	case p.opt.Dialer != nil:
		return p.opt.Dialer(ctx, "tcp", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// bastion gives the connection to the last of jumps, nil for none. Every bastion has one connection, shared by the process.
func (p *Pool) bastion(ctx context.Context, jumps []transport.Target) (*client, error) {
	if len(jumps) == 0 {
		return nil, nil
	}
	last := jumps[len(jumps)-1]
	last.Jumps = jumps[:len(jumps)-1]
	var name strings.Builder
	for _, j := range jumps {
		fmt.Fprintf(&name, "%s@%s ", j.User, address(j))
	}
	for {
		c, err := once(ctx, p, p.bastions, name.String(), false, func() (*client, error) { return p.tryBastion(ctx, last) })
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			// Another host's call, which had begun this connection, was cancelled.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("bastion %s: %w", last.Name, unreachable(last, err))
		}
		select {
		case <-c.done:
			p.forget(name.String(), c)
		default:
			return c, nil
		}
	}
}

func (p *Pool) forget(name string, c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.bastions[name]; e != nil && e.value == c {
		delete(p.bastions, name)
	}
}

// tryBastion holds no place among the dials: whoever needs the bastion already has one.
func (p *Pool) tryBastion(ctx context.Context, t transport.Target) (*client, error) {
	var err error
	for try := range attempts {
		var c *client
		if c, err = p.tryConnect(ctx, t); err == nil {
			return c, nil
		}
		var again *tooEarly
		if !errors.As(err, &again) || !sleep(ctx, time.Duration(rand.Int64N(int64(time.Second)))*time.Duration(try+1)) {
			break
		}
	}
	return nil, err
}

// handshake does key exchange, host key check and login over raw, and closes it when that fails.
func (p *Pool) handshake(ctx context.Context, t transport.Target, raw net.Conn) (*client, error) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	known, err := p.knownFor(ctx, t)
	if err != nil {
		raw.Close()
		return nil, err
	}
	check := known.checker(t)
	auth := &auth{pool: p, target: t, ctx: ctx}
	config := &ssh.ClientConfig{User: t.User, Auth: auth.methods(), HostKeyCallback: check.callback, HostKeyAlgorithms: known.algorithms(t),
		ClientVersion: "SSH-2.0-pgfleet", BannerCallback: auth.heard}
	sc, channels, requests, err := ssh.NewClientConn(raw, check.name, config)
	if !stop() && err == nil {
		sc.Close()
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, classify(ctx, t, check, auth, err)
	}
	return &client{Client: ssh.NewClient(sc, channels, requests), done: make(chan struct{})}, nil
}

// classify says which class a failed handshake is of.
func classify(ctx context.Context, t transport.Target, check *hostCheck, auth *auth, err error) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case check.err != nil:
		return check.err
	case check.otherKinds(err):
		return check.err
	case ctx.Err() != nil:
		return unreachable(t, context.Cause(ctx))
	case !check.passed && ended:
		return unreachable(t, &tooEarly{fmt.Errorf("the other side hung up before the key exchange: %w", err)})
	case ended:
		return auth.ended(err)
	case !check.passed || errors.Is(err, net.ErrClosed) || errors.As(err, new(net.Error)):
		return unreachable(t, err)
	}
	return auth.refused(err)
}

// keepAlive asks the other side for an answer from time to time and ends the connection when three are due.
func (c *client) keepAlive(t transport.Target) {
	every := t.KeepAlive
	if every <= 0 {
		every = 15 * time.Second
	}
	gone := make(chan error, 1)
	go func() { gone <- c.Wait() }()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	answered := make(chan struct{}, 1)
	waiting, missed := false, 0
	for {
		select {
		case err := <-gone:
			c.close(unreachable(t, fmt.Errorf("connection lost: %w", err)))
			return
		case <-answered:
			waiting, missed = false, 0
		case <-ticker.C:
			if waiting {
				if missed++; missed >= 3 {
					c.close(unreachable(t, fmt.Errorf("no answer for %v", 3*every)))
				}
				continue
			}
			waiting = true
			go func() {
				_, _, _ = c.SendRequest("keepalive@openssh.com", true, nil)
				answered <- struct{}{}
			}()
		}
	}
}
