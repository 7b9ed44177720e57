package transporttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/shell"
)

// sandboxConn is one connection: a root shell inside.
type sandboxConn struct {
	pid     int
	session *shell.Session
	mu      sync.Mutex
	stats   transport.Stats
}

func dialSandbox(sb *Sandbox, ahead ...transport.Step) (*sandboxConn, error) {
	begin := time.Now()
	cmd := sb.Command(context.Background(), "/bin/sh", "-c", `IFS= read -r p && eval "$p"`)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errs, errEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = outEnd, errEnd
	err = cmd.Start()
	outEnd.Close()
	errEnd.Close()
	if err != nil {
		return nil, err
	}
	// As with sshd, closing ends the shell but not what it runs at that moment.
	end := sync.OnceValue(func() error {
		in.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		out.Close()
		return errs.Close()
	})
	session, _, err := shell.Start(context.Background(), shell.Pipes{In: in, Out: out, Err: errs, Close: end}, ahead...)
	if err != nil {
		return nil, err
	}
	return &sandboxConn{pid: sb.pid, session: session, stats: transport.Stats{Connections: 1, Handshake: time.Since(begin)}}, nil
}

// Do runs steps inside.
func (c *sandboxConn) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	begin := time.Now()
	results, err := c.session.Run(ctx, steps)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.RoundTrips++
	c.stats.Busy += time.Since(begin)
	for i := range results {
		if steps[i].Write == nil {
			continue
		}
		c.stats.Files++
		if i == 0 || steps[i-1].Write == nil {
			c.stats.FileBatches++
		}
	}
	return results, err
}

// Stats says what the connection cost.
func (c *sandboxConn) Stats() transport.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close ends the shell.
func (c *sandboxConn) Close() error { return c.session.Close() }

// Dial connects from inside: "tcp" to an address of numbers or localhost, "unix" to a socket's path.
func (c *sandboxConn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "unix" {
		addr = filepath.Join("/proc", strconv.Itoa(c.pid), "root", addr)
	} else if host, port, err := net.SplitHostPort(addr); err == nil && host == "localhost" {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	type answer struct {
		conn net.Conn
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		// The thread is never unlocked: it ends with this goroutine, and the foreign namespace with it.
		runtime.LockOSThread()
		conn, err := dialInside(ctx, c.pid, network, addr)
		got <- answer{conn, err}
	}()
	a := <-got
	return a.conn, a.err
}

func dialInside(ctx context.Context, pid int, network, addr string) (net.Conn, error) {
	ns, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "ns/net"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the sandbox's network: %w", err)
	}
	d := net.Dialer{FallbackDelay: -1}
	return d.DialContext(ctx, network, addr)
}
