package ssh

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// TestMaxStartups: a real sshd that has as many connections before login as it takes drops ours, which is tried again: directly, and where the sshd is the
// bastion on the way.
func TestMaxStartups(t *testing.T) {
	for name, behind := range map[string]bool{"host": false, "bastion": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "MaxStartups 1")
			target := s.target
			if behind {
				s.trust("10.0.0.1,localhost")
				target.Name, target.Address, target.Jumps = "localhost", "localhost", []transport.Target{s.target}
			}
			held := s.hold()
			defer held.Close()
			var dials atomic.Int32
			pool := NewPool(Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials.Add(1) == 2 {
					held.Close()
				}
				return s.options().Dialer(ctx, network, addr)
			}})
			defer pool.Close()
			c, err := pool.Dial(t.Context(), target)
			log := s.ReadFile("/run/sshd.log")
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			defer c.Close()
			if r, err := c.Do(t.Context(), transport.Step{Argv: []string{"id", "-un"}}); err != nil || string(r[0].Stdout) != "root\n" {
				t.Errorf("%+v %v", r, err)
			}
			// OpenSSH 9.2 says "past MaxStartups", 10.0 "Maxstartups".
			if dials.Load() < 2 || !strings.Contains(strings.ToLower(log), "maxstartups") {
				t.Errorf("%d dials; sshd says\n%s", dials.Load(), log)
			}
		})
	}
}

// hold opens a connection that sshd counts as one before login. sshd may still count the one by which newServer saw that it listens, and then answers
// "Exceeded MaxStartups" or nothing: then again.
func (s *server) hold() net.Conn {
	s.t.Helper()
	for range 500 {
		c, err := s.Dial(s.t.Context(), "tcp", "127.0.0.1:22")
		if err != nil {
			s.t.Fatal(err)
		}
		said := make([]byte, 4)
		if _, err := io.ReadFull(c, said); err == nil && string(said) == "SSH-" {
			return c
		}
		c.Close()
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("sshd does not take a connection")
	return nil
}
