package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// conn is one host: a client, its root shell and its sftp-servers.
type conn struct {
	opt     Options
	target  transport.Target
	client  *client
	session *shell.Session
	host    shell.Host
	root    root
	// pool is set when it ends with the connection.
	pool *Pool

	turn chan struct{}
	// The following belong to whoever has the turn.
	servers map[string]*starting
	ids     map[string]int // see ids.go
	noSFTP  bool
	refused map[string]bool // users for whom no sftp-server starts

	mu    sync.Mutex
	stats transport.Stats
}

// Dial connects to a host, logs in and starts the root shell. The error wraps transport.ErrUnreachable, and ErrHostKey, ErrAuth or
// ErrBecome where that is the reason. ahead are the steps of the first Do, where they are known: probes without anything secret (shell.Start). They travel
// with the start of the shell, so that this Do takes no round trip more.
func (p *Pool) Dial(ctx context.Context, t transport.Target, ahead ...transport.Step) (transport.Conn, error) {
	if t.Program != "" {
		return p.dialProgram(ctx, t)
	}
	if shell.Check(ahead) != nil {
		ahead = nil // Do says what is wrong with them; the host can be reached all the same
	}
	begin := time.Now()
	client, err := p.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	c := &conn{opt: p.opt, target: t, client: client, turn: make(chan struct{}, 1), servers: map[string]*starting{}, ids: map[string]int{},
		refused: map[string]bool{}}
	limited, cancel := context.WithTimeoutCause(ctx, c.startLimit(), fmt.Errorf("the shell did not start within %v", c.startLimit()))
	defer cancel()
	c.session, c.host, err = c.startRoot(limited, ahead)
	if err != nil {
		err = unreachable(t, startCause(client.lost(causeOf(limited, err))))
		client.close(err)
		return nil, err
	}
	c.noSFTP = c.host.SFTP == ""
	c.stats = transport.Stats{Connections: client.dialled, Handshake: time.Since(begin)}
	return c, nil
}

// startLimit leaves a person time to type the password that sudo wants.
func (c *conn) startLimit() time.Duration {
	if c.opt.SudoPassword != nil {
		return 5 * time.Minute
	}
	return connectTimeout(c.target) + 15*time.Second
}

// startCause names what stands in the way when something else than our shell has answered.
func startCause(err error) error {
	var start *shell.StartError
	if errors.As(err, &start) && len(start.Stdout) > 0 {
		return fmt.Errorf("%w (a forced command, or a start-up file of the login shell that ends it?)", err)
	}
	return err
}

// Do runs steps: transport.Conn says how. Files that are written one after the other travel together.
func (c *conn) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
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
	results, err := c.do(ctx, steps)
	c.count(func(s *transport.Stats) { s.RoundTrips++; s.Busy += time.Since(begin) })
	if err != nil {
		if err = c.client.lost(err); !errors.Is(err, transport.ErrUnreachable) {
			err = fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
		}
		c.fail(err)
		return results, fmt.Errorf("%s: %w", c.target.Name, err)
	}
	return results, nil
}

func (c *conn) do(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
	}
	c.ready(steps)
	var all []transport.Result
	for begin := 0; begin < len(steps); {
		writes, end := c.segment(steps, begin)
		part := steps[begin:end]
		var results []transport.Result
		var err error
		if writes > 0 {
			results, err = c.runWrites(ctx, part, writes, steps[end:])
		} else {
			results, err = c.runShell(ctx, part, steps[end:])
		}
		all = append(all, results...)
		if err != nil || len(results) < len(part) || stopped(part, results) {
			return all, err
		}
		begin = end
	}
	return all, nil
}

// segment gives the number of writes at steps[begin] that travel by SFTP, and the end of the other steps that follow them.
func (c *conn) segment(steps []transport.Step, begin int) (writes, end int) {
	if c.noSFTP {
		return 0, len(steps)
	}
	end = begin
	for end < len(steps) && steps[end].Write != nil {
		end++
	}
	writes = end - begin
	for end < len(steps) && steps[end].Write == nil {
		end++
	}
	return writes, end
}

func stopped(steps []transport.Step, results []transport.Result) bool {
	last := len(results) - 1
	return results[last].Err != nil && !steps[last].Probe
}

func (c *conn) count(add func(*transport.Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.stats)
}

// Stats says what the connection has cost so far.
func (c *conn) Stats() transport.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Dial connects from the host: "tcp" to an address it can resolve, "unix" to a socket's path.
func (c *conn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, network, addr)
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused) && (refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType):
		return nil, fmt.Errorf("dial %s from %s: %w", addr, c.target.Name, transport.ErrForwarding)
	case errors.As(err, &refused):
		return nil, fmt.Errorf("dial %s from %s: %w", addr, c.target.Name, err)
	case err != nil:
		return nil, unreachable(c.target, c.client.lost(err))
	}
	return &deadlineConn{Conn: conn}, nil
}

// fail ends the connection for good with its reason.
func (c *conn) fail(cause error) {
	c.client.close(cause)
	c.session.Close()
	for _, s := range c.servers {
		go s.end()
	}
	if c.pool != nil {
		c.pool.Close()
	}
}

// Close ends the connection. What the host is doing at that moment ends with its step's limit.
func (c *conn) Close() error {
	c.client.close(fmt.Errorf("%w: %s: the connection was closed", transport.ErrUnreachable, c.target.Name))
	c.session.Close()
	if c.pool != nil {
		c.pool.Close()
	}
	return nil
}
