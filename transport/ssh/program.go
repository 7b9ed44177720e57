package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// maxOutput is how much of a program's output, in bytes, is taken.
const maxOutput = 64 << 20

// programConn is a host that lets us run one program (transport.Target.Program): each step is an exec request of its own, no shell of ours runs there.
type programConn struct {
	target transport.Target
	client *client
	turn   chan struct{}
	// pool is set when it ends with the connection.
	pool *Pool

	mu    sync.Mutex
	stats transport.Stats
}

// dialProgram logs in; nothing is run yet.
func (p *Pool) dialProgram(ctx context.Context, t transport.Target) (transport.Conn, error) {
	begin := time.Now()
	client, err := p.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	return &programConn{target: t, client: client, turn: make(chan struct{}, 1),
		stats: transport.Stats{Connections: client.dialled, Handshake: time.Since(begin)}}, nil
}

// Do runs the program once a step. A step that wants anything else gets fs.ErrPermission and is not sent.
func (c *programConn) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	if err := shell.Check(steps); err != nil {
		return nil, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s: %w", transport.ErrUnreachable, c.target.Name, ctx.Err())
	}
	begin := time.Now()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stats.RoundTrips++
		c.stats.Busy += time.Since(begin)
	}()
	var results []transport.Result
	for _, s := range steps {
		r, err := c.one(ctx, s)
		if err != nil {
			if err = c.client.lost(err); !errors.Is(err, transport.ErrUnreachable) {
				err = fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
			}
			c.client.close(err)
			return results, fmt.Errorf("%s: %w", c.target.Name, err)
		}
		results = append(results, r)
		if r.Err != nil && !s.Probe {
			break
		}
	}
	return results, nil
}

// one runs the program for one step.
func (c *programConn) one(ctx context.Context, s transport.Step) (transport.Result, error) {
	r := transport.Result{Key: s.Key}
	if len(s.Argv) != 1 || s.Argv[0] != c.target.Program || s.Shell != "" || s.User != "" {
		r.Code, r.Err = 1, fmt.Errorf("%s runs nothing but %s: %w", c.target.Name, c.target.Program, fs.ErrPermission)
		return r, nil
	}
	limit := s.Limit
	if limit == 0 {
		limit = transport.DefaultLimit
	}
	command := c.target.Program
	if c.target.Become && c.target.User != "root" {
		command = "sudo -n " + command
	}
	session, err := c.client.NewSession()
	if err != nil {
		return r, fmt.Errorf("%w: %w", errRefused, err)
	}
	defer session.Close()
	var stdout, stderr limited
	session.Stdin, session.Stdout, session.Stderr = bytes.NewReader(s.Stdin), &stdout, &stderr
	begin := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- session.Run(command) }()
	timer := time.NewTimer(limit + 10*time.Second)
	defer timer.Stop()
	select {
	case err = <-ended:
	case <-timer.C:
		return r, fmt.Errorf("%s gave no answer within %v", c.target.Program, limit)
	case <-ctx.Done():
		return r, ctx.Err()
	}
	r.Stdout, r.Stderr, r.Took = stdout.Bytes(), stderr.Bytes(), time.Since(begin)
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		if problem := c.notAllowed(exit.ExitStatus(), string(r.Stderr)); problem != nil {
			return r, problem
		}
		r.Code, r.Err = exit.ExitStatus(), &transport.ExitError{Code: exit.ExitStatus(), Stderr: r.Stderr}
	case err != nil:
		return r, fmt.Errorf("run %s: %w", c.target.Program, err)
	}
	return r, nil
}

// notAllowed tells whether not the program but what stands before it has answered.
func (c *programConn) notAllowed(code int, stderr string) error {
	advice := "have an administrator install it: pgfleet authority restrict --help"
	if code == 127 || code == 126 || strings.Contains(stderr, "command not found") {
		return &BecomeError{Host: c.target.Name, User: c.target.User, Reason: c.target.Program + " is not there, or cannot be run", Advice: advice}
	}
	for _, s := range sudoSays {
		if strings.HasPrefix(stderr, "sudo: ") && strings.Contains(stderr, s.text) || strings.HasPrefix(stderr, "Sorry, user ") {
			return &BecomeError{Host: c.target.Name, User: c.target.User, Reason: "sudo does not let it run " + c.target.Program, Advice: advice}
		}
	}
	return nil
}

// limited takes so many bytes and then fails.
type limited struct{ bytes.Buffer }

// Write refuses what is too much.
func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxOutput {
		return 0, fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	return l.Buffer.Write(b)
}

// Stats says what the connection has cost so far.
func (c *programConn) Stats() transport.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Dial is refused: such a host passes no connections on.
func (c *programConn) Dial(_ context.Context, _, addr string) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s from %s: %w", addr, c.target.Name, transport.ErrForwarding)
}

// Close ends the connection.
func (c *programConn) Close() error {
	c.client.close(fmt.Errorf("%w: %s: the connection was closed", transport.ErrUnreachable, c.target.Name))
	if c.pool != nil {
		return c.pool.Close()
	}
	return nil
}
