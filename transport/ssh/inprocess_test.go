package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// TestInProcessSuite runs the suite against a server of x/crypto/ssh, which behaves otherwise than OpenSSH: commands run in a
// sandbox, and there is no subsystem, no sudo, no environment.
func TestInProcessSuite(t *testing.T) {
	sb := transporttest.NewSandbox(t)
	dir := t.TempDir()
	writeKey(t, dir+"/host", "")
	public := writeKey(t, dir+"/user", "")
	pem, err := os.ReadFile(dir + "/host")
	if err != nil {
		t.Fatal(err)
	}
	hostKey, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if ssh.FingerprintSHA256(key) != ssh.FingerprintSHA256(readPublic(dir+"/user.pub")) {
			return nil, errors.New("unknown key: want " + public)
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(sb, c, config)
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	known := filepath.Join(dir, "known")
	key := HostKey{Name: fmt.Sprintf("[127.0.0.1]:%d", addr.Port), Type: hostKey.PublicKey().Type(), key: hostKey.PublicKey()}
	if err := AppendKnownHosts(known, []HostKey{key}, true); err != nil {
		t.Fatal(err)
	}
	target := transport.Target{Name: "inprocess", Address: "127.0.0.1", Port: addr.Port, User: "root", Become: true, IdentityFiles: []string{dir + "/user"},
		IdentityAgent: "none", KnownHosts: []string{known}}
	transporttest.Suite(t, func(t *testing.T) transport.Conn {
		c, err := Dial(t.Context(), target, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	})
}

func serve(sb *transporttest.Sandbox, raw net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		raw.Close()
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			go serveSession(sb, ch)
		case "direct-tcpip":
			go serveForward(sb, ch)
		default:
			ch.Reject(ssh.UnknownChannelType, "unknown")
		}
	}
}

func serveSession(sb *transporttest.Sandbox, n ssh.NewChannel) {
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	for r := range requests {
		if r.Type != "exec" {
			r.Reply(false, nil)
			continue
		}
		var command struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &command); err != nil {
			return
		}
		r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		cmd := sb.Command(context.Background(), "/bin/sh", "-c", command.Command)
		cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() {
			io.Copy(in, ch)
			in.Close()
		}()
		status := uint32(0)
		var exit *exec.ExitError
		if errors.As(cmd.Run(), &exit) {
			status = uint32(exit.ExitCode())
		}
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

func serveForward(sb *transporttest.Sandbox, n ssh.NewChannel) {
	var to struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	if err := ssh.Unmarshal(n.ExtraData(), &to); err != nil {
		n.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	conn, err := sb.Dial(context.Background(), "tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	ch, requests, err := n.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	go io.Copy(conn, ch)
	io.Copy(ch, conn)
}
