package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// server is a real sshd inside a sandbox, with users ops (sudo without a password), asks (sudo with the password "hunter2"),
// never (no sudo) and wants (sudo with requiretty); one key opens all of them and root.
type server struct {
	*transporttest.Sandbox
	t      testing.TB
	key    string
	known  string
	target transport.Target
}

const sudoers = `Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults:wants requiretty
root ALL=(ALL:ALL) ALL
ops ALL=(ALL) NOPASSWD: ALL
wants ALL=(ALL) NOPASSWD: ALL
asks ALL=(ALL) ALL
`

const prepareServer = `set -e
rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d /etc/sudoers.d
mkdir -p /run/sshd /etc/sudoers.d
ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key
cat >/etc/sudoers
chmod 0440 /etc/sudoers
for u in ops asks never wants; do
  useradd -m -s /bin/bash "$u"
  mkdir -m 700 "/home/$u/.ssh"
  printf "%s\n" "$1" >"/home/$u/.ssh/authorized_keys"
  chown -R "$u" "/home/$u/.ssh"
done
echo "asks:hunter2" | chpasswd
mkdir -p -m 700 /root/.ssh
printf "%s\n" "$1" >/root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
`

// newServer starts sshd with lines added to its configuration.
func newServer(t testing.TB, lines ...string) *server {
	t.Helper()
	s := &server{Sandbox: transporttest.NewSandbox(t), t: t}
	dir := t.TempDir()
	s.key, s.known = filepath.Join(dir, "id"), filepath.Join(dir, "known_hosts")
	public := writeKey(t, s.key, "")
	s.prepare(public)
	config := "Port 22\nPasswordAuthentication no\nUsePAM yes\nPermitRootLogin prohibit-password\nStrictModes no\nPidFile /run/sshd.pid\n" +
		"LogLevel VERBOSE\nSubsystem sftp /usr/lib/openssh/sftp-server\n" + strings.Join(lines, "\n") + "\n"
	s.WriteFile("/etc/ssh/sshd_config", config, 0o644)
	s.start()
	s.trust("10.0.0.1")
	s.target = transport.Target{Name: "host1", Address: "10.0.0.1", User: "ops", Become: true, IdentityFiles: []string{s.key},
		IdentitiesOnly: true, IdentityAgent: "none", KnownHosts: []string{s.known}}
	return s
}

func (s *server) prepare(public string) {
	s.t.Helper()
	cmd := s.Command(context.Background(), "/bin/sh", "-c", prepareServer, "sh", public)
	cmd.Stdin = strings.NewReader(sudoers)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("prepare sshd: %v %s", err, out)
	}
}

// start runs sshd and waits until it listens.
func (s *server) start() {
	s.t.Helper()
	cmd := s.Command(context.Background(), "/usr/sbin/sshd", "-D", "-E", "/run/sshd.log")
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s.listening()
}

// listening waits until sshd answers.
func (s *server) listening() {
	s.t.Helper()
	for range 100 {
		if c, err := s.Dial(context.Background(), "tcp", "127.0.0.1:22"); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatal("sshd does not listen: ", s.ReadFile("/run/sshd.log"))
}

// trust records the Ed25519 host key under names.
func (s *server) trust(names string) {
	s.t.Helper()
	key := s.ReadFile("/etc/ssh/ssh_host_ed25519_key.pub")
	if err := os.WriteFile(s.known, []byte(names+" "+key), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// options reach the server whatever address is asked for.
func (s *server) options() Options {
	return Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return s.Dial(ctx, network, "127.0.0.1:"+port)
	}}
}

// dial22 leads to the server whatever is asked for.
func (s *server) dial22(ctx context.Context, network, _ string) (net.Conn, error) {
	return s.Dial(ctx, network, "127.0.0.1:22")
}

// connect logs in as user.
func (s *server) connect(user string) transport.Conn {
	s.t.Helper()
	target := s.target
	target.User = user
	c, err := Dial(s.t.Context(), target, s.options())
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.ReadFile("/run/sshd.log"))
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// writeKey makes an Ed25519 key file and gives its public line.
func writeKey(t testing.TB, file, passphrase string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if err := os.WriteFile(file+".pub", []byte(fmt.Sprintln(line)), 0o600); err != nil {
		t.Fatal(err)
	}
	return line
}

// answer is a prompt that gives always the same.
func answer(password string) func(context.Context, string) ([]byte, error) {
	return func(context.Context, string) ([]byte, error) { return []byte(password), nil }
}
