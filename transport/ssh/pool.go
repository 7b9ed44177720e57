// Package ssh connects to hosts over SSH: one TCP connection a host, a framed root shell on it (transport/shell), files by SFTP.
//
// Host keys are always checked and never asked about; a refused login is never repeated; nothing waits without a limit.
package ssh

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// Options is what a process's connections have in common. The zero value works wherever nothing has to be asked for.
type Options struct {
	// Passphrase gives the passphrase of an encrypted key file; it is called once a file. nil: such keys are not used.
	Passphrase func(file string) ([]byte, error)
	// Password gives the login password of a host; nil: no password login. It is called once a host.
	Password func(ctx context.Context, host string) ([]byte, error)
	// SudoPassword gives the password that sudo asks for on a host; nil: sudo must ask for none.
	SudoPassword func(ctx context.Context, host string) ([]byte, error)
	// KnownHosts replaces ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts for targets that name no files.
	KnownHosts []string
	// Dialer makes TCP connections; nil means net.Dialer.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	// MaxDials is how many handshakes are under way at once; 0 means 16.
	MaxDials int
	// Getenv reads the environment (SSH_AUTH_SOCK); nil means os.Getenv.
	Getenv func(string) string
}

// Pool makes connections that share bastions, agent, keys and known_hosts files, each read once. It is safe for use by
// several goroutines.
type Pool struct {
	opt   Options
	dials chan struct{}

	mu       sync.Mutex
	closed   bool
	bastions map[string]*entry[*client]
	known    map[string]*entry[*knownHosts]
	keys     map[string]*entry[*keyFile]
	agents   map[string]*entry[*agentConn]
	logins   map[string]*entry[[]byte]
}

// entry is something made once: done is closed when value and err are there.
type entry[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// NewPool makes a pool; Close ends its bastions.
func NewPool(opt Options) *Pool {
	if opt.MaxDials <= 0 {
		opt.MaxDials = 16
	}
	return &Pool{opt: opt, dials: make(chan struct{}, opt.MaxDials), bastions: map[string]*entry[*client]{},
		known: map[string]*entry[*knownHosts]{}, keys: map[string]*entry[*keyFile]{}, agents: map[string]*entry[*agentConn]{},
		logins: map[string]*entry[[]byte]{}}
}

// once gives what stands under name in table, building it when it is not there. keep says whether a failure is kept.
func once[T any](ctx context.Context, p *Pool, table map[string]*entry[T], name string, keep bool, build func() (T, error)) (T, error) {
	p.mu.Lock()
	e, ok := table[name]
	if !ok {
		e = &entry[T]{done: make(chan struct{})}
		table[name] = e
	}
	p.mu.Unlock()
	if !ok {
		e.value, e.err = build()
		if e.err != nil && !keep {
			p.mu.Lock()
			delete(table, name)
			p.mu.Unlock()
		}
		close(e.done)
		return e.value, e.err
	}
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Close ends bastions and agent connections. Hosts reached through a bastion are lost with it.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	bastions, agents := p.bastions, p.agents
	p.bastions, p.agents = map[string]*entry[*client]{}, map[string]*entry[*agentConn]{}
	p.mu.Unlock()
	for _, e := range bastions {
		if <-e.done; e.value != nil {
			e.value.close(errors.New("the pool was closed"))
		}
	}
	for _, e := range agents {
		if <-e.done; e.value != nil {
			e.value.conn.Close()
		}
	}
	return nil
}

// Dial connects to a host with a pool of its own, which ends with the connection.
func Dial(ctx context.Context, t transport.Target, opt Options) (transport.Conn, error) {
	p := NewPool(opt)
	c, err := p.Dial(ctx, t)
	if err != nil {
		p.Close()
		return nil, err
	}
	switch c := c.(type) {
	case *conn:
		c.pool = p
	case *programConn:
		c.pool = p
	}
	return c, nil
}

func connectTimeout(t transport.Target) time.Duration { return t.Patience() }
