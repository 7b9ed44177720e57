package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport/shell"
)

func (f *Fleet) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
		h := f.hosts[host]
		if h == nil {
			conn.Close()
			continue
		}
		f.counters.opened(conn)
		go h.serve(conn)
	}
}

// startups is sshd's MaxStartups of one host.
type startups struct {
	mu sync.Mutex
	n  int
}

// begin counts a connection that has not logged in; false: it is dropped, at random, as sshd does between begin and full.
func (s *startups) begin(limit [3]int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, percent, full := limit[0], limit[1], limit[2]
	if full > 0 && s.n >= first {
		p := 100
		if s.n < full {
			p = percent + (100-percent)*(s.n-first)/max(full-first, 1)
		}
		if rand.IntN(100) < p {
			return false
		}
	}
	s.n++
	return true
}

func (s *startups) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
}

func (h *Host) serve(raw net.Conn) {
	defer h.fleet.counters.closed(raw)
	defer raw.Close()
	if !h.starting.begin(h.fleet.opt.Startups) {
		h.fleet.counters.add(func(c *Counts) { c.Dropped++ })
		return
	}
	conn, channels, requests, err := h.handshake(raw)
	h.starting.end()
	if err != nil {
		return
	}
	defer conn.Close()
	h.fleet.counters.add(func(c *Counts) { c.Logins++ })
	go ssh.DiscardRequests(requests)
	sessions := make(chan struct{}, h.fleet.opt.MaxSessions)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			select {
			case sessions <- struct{}{}:
				h.fleet.counters.add(func(c *Counts) { c.Sessions++ })
				go func() {
					h.session(ch)
					<-sessions
				}()
			default:
				h.fleet.counters.add(func(c *Counts) { c.Refused++ })
				_ = ch.Reject(ssh.ConnectionFailed, "open failed")
			}
		case "direct-tcpip":
			h.fleet.counters.add(func(c *Counts) { c.Forwards++ })
			go h.forward(ch)
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "unknown channel type")
		}
	}
}

func (h *Host) handshake(raw net.Conn) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	key, err := h.hostKey()
	if err != nil {
		return nil, nil, nil, err
	}
	config := &ssh.ServerConfig{ServerVersion: "SSH-2.0-OpenSSH_simulated", PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), h.fleet.user.Marshal()) {
			return nil, errors.New("not this key")
		}
		return nil, nil
	}}
	config.AddHostKey(key)
	return ssh.NewServerConn(raw, config)
}

// session serves one command.
func (h *Host) session(n ssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		var command struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &command); err != nil {
			return
		}
		_ = r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		if !strings.HasSuffix(command.Command, shell.Bootstrap) {
			fmt.Fprintf(ch.Stderr(), "simulated host: this command is not in the model: %.120q\n", command.Command)
			h.fleet.counters.add(func(c *Counts) { c.Unknown++ })
			return
		}
		h.bootstrap(ch)
		return
	}
}

// forward is direct-tcpip: to the host's own PostgreSQL, to that which a client uses, or, on a bastion, to another host's port.
func (h *Host) forward(n ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	if err := ssh.Unmarshal(n.ExtraData(), &to); err != nil {
		_ = n.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	server := h
	if h.uses != nil && to.Host == h.uses.address {
		server = h.uses
	}
	if server.postgres != nil && to.Port == 5432 {
		ch, requests, err := n.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		server.serveTLS(ch)
		return
	}
	if h.role != "" || h.fleet.hosts[to.Host] == nil || int(to.Port) != h.fleet.port() {
		_ = n.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, ch)
		conn.Close()
	}()
	_, _ = io.Copy(ch, conn)
}
