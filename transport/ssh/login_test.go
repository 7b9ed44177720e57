package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/pgfleet/pgfleet/transport"
)

// try connects, does one round trip and closes; and once more with the steps ahead, which must end in the same way.
func (s *server) try(t *testing.T, target transport.Target, opt Options) error {
	t.Helper()
	if opt.Dialer == nil {
		opt.Dialer = s.options().Dialer
	}
	steps := []transport.Step{{Shell: "echo a"}, {Shell: "cat; echo b; exit 3", Stdin: []byte("in ")}, {Argv: []string{"echo", "c"}}}
	for i := range steps {
		steps[i].Probe = true
	}
	var errs [2]string
	var last error
	for i, ahead := range [][]transport.Step{nil, steps} {
		pool := NewPool(opt)
		defer pool.Close()
		c, err := pool.Dial(t.Context(), target, ahead...)
		if last = err; err != nil {
			errs[i] = err.Error()
			continue
		}
		defer c.Close()
		r, err := c.Do(t.Context(), steps...)
		if last = err; err == nil && (len(r) != 3 || string(r[0].Stdout)+string(r[1].Stdout)+string(r[2].Stdout) != "a\nin b\nc\n" || r[1].Code != 3) {
			t.Errorf("%d steps ahead: %+v", len(ahead), r)
		}
		if r, err := c.Do(t.Context(), transport.Step{Argv: []string{"echo", "next"}}); err != nil || string(r[0].Stdout) != "next\n" {
			t.Errorf("%d steps ahead, afterwards: %+v, %v", len(ahead), r, err)
		}
	}
	if errs[0] != errs[1] {
		t.Errorf("without steps ahead: %s\nwith: %s", errs[0], errs[1])
	}
	return last
}

// fails checks class and text of an error.
func fails(t *testing.T, what string, err, class error, texts ...string) {
	t.Helper()
	if !errors.Is(err, class) || !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("%s: got %v, want %v", what, err, class)
		return
	}
	hint := ""
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		hint = h.Hint()
	}
	for _, text := range texts {
		if !strings.Contains(err.Error()+"\n"+hint, text) {
			t.Errorf("%s: %q is not in %q, hint %q", what, text, err, hint)
		}
	}
}

func TestSudo(t *testing.T) {
	s := newServer(t)
	secret := "hunter2"
	for _, c := range []struct {
		user, password, reason string
	}{
		{"asks", "", "-K"},
		{"asks", "wrong-" + secret, "does not accept the password"},
		{"never", "", ""},
		{"never", secret, ""},
		{"wants", "", "requiretty"},
	} {
		target := s.target
		target.User = c.user
		opt := s.options()
		if c.password != "" {
			opt.SudoPassword = answer(c.password)
		}
		err := s.try(t, target, opt)
		fails(t, c.user, err, transport.ErrBecome, c.reason, c.user)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in %q", err)
		}
	}
	target := s.target
	target.User = "asks"
	opt := s.options()
	opt.SudoPassword = func(context.Context, string) ([]byte, error) { return nil, errors.New("nobody answers") }
	fails(t, "no answer", s.try(t, target, opt), transport.ErrBecome, "nobody answers")
	opt.SudoPassword = answer(secret + "\ntouch /root/second-line")
	fails(t, "two lines", s.try(t, target, opt), transport.ErrBecome, "more than one line")
	s.Shell("[ ! -e /root/second-line ]")
	target.User, opt = "ops", s.options()
	opt.SudoPassword = answer(secret)
	if err := s.try(t, target, opt); err != nil {
		t.Errorf("a password that nobody asks for: %v", err)
	}
	// What does doas's work here is sudo. Steps that went ahead through the tool that is missing have not run, and run once.
	s.Exec("mv", "/usr/bin/sudo", "/usr/bin/doas")
	target.User = "ops"
	if err := s.try(t, target, s.options()); err != nil {
		t.Errorf("doas: %v", err)
	}
	once := transport.Step{Shell: `echo ran >>/root/ran; cat /root/ran`, Probe: true}
	pool := NewPool(s.options())
	defer pool.Close()
	c, err := pool.Dial(t.Context(), target, once)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.Shell(`n=0; until [ -s /root/ran ]; do [ $((n += 1)) -lt 600 ] || exit 1; sleep 0.1; done`) // before it is asked for
	if r, err := c.Do(t.Context(), once); err != nil || string(r[0].Stdout) != "ran\n" {
		t.Errorf("%+v %v", r, err)
	}
	for _, no := range []transport.Step{{Shell: "id"}, {Write: &transport.FileMeta{Path: "/root/x"}, Probe: true}} {
		if _, err := pool.Dial(t.Context(), target, no); err == nil || !strings.Contains(err.Error(), "only what changes nothing") {
			t.Errorf("a change went ahead: %v", err)
		}
	}
	bad := transport.Step{Argv: []string{"echo", "a\x00b"}, Probe: true}
	if c, err := pool.Dial(t.Context(), target, bad); err != nil {
		t.Errorf("a step that cannot be sent hinders the connection: %v", err)
	} else {
		defer c.Close()
		if _, err := c.Do(t.Context(), bad); err == nil || errors.Is(err, transport.ErrUnreachable) {
			t.Errorf("a step that cannot be sent: %v", err)
		}
	}
	for message, reason := range map[string]string{"Authentication required": "doas asks for a password", "Operation not permitted": "doas.conf does not let",
		"doas is not enabled, /etc/doas.conf: No such file or directory": "doas has no doas.conf"} {
		s.Exec("rm", "/usr/bin/doas") // it still runs
		s.WriteFile("/usr/bin/doas", "#!/bin/sh\necho 'doas: "+message+"' >&2\nexit 1\n", 0o755)
		fails(t, message, s.try(t, target, s.options()), transport.ErrBecome, reason, "permit nopass ops")
	}
	s.Exec("rm", "/usr/bin/doas")
	fails(t, "no sudo", s.try(t, target, s.options()), transport.ErrBecome, "sudo")
	target.Become = false
	if err := s.try(t, target, s.options()); err != nil {
		t.Errorf("without become: %v", err)
	}
}

// TestSecretsStayHidden looks for password and nonce in the argument lists and environments of all processes while a step runs.
func TestSecretsStayHidden(t *testing.T) {
	s := newServer(t)
	target := s.target
	target.User = "asks"
	opt := s.options()
	opt.SudoPassword = answer("hunter2")
	c, err := Dial(t.Context(), target, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Do(t.Context(), transport.Step{Shell: `cat >/dev/null; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr "\0" "\n"`, Stdin: []byte("SCRAM-SECRET")},
		transport.Step{Argv: []string{"true"}})
	if err != nil || r[0].Err != nil {
		t.Fatal(err, r)
	}
	text := string(r[0].Stdout)
	for _, secret := range []string{"hunter2", "SCRAM-SECRET"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s can be seen in a process list", secret)
		}
	}
	if !strings.Contains(text, "IFS= read -r p") {
		t.Error("the shell is not in the list: the test sees nothing")
	}
	log := s.Shell(`cat /run/sshd.log /var/log/auth.log 2>/dev/null || :`)
	if strings.Contains(log, "hunter2") {
		t.Error("the password is in a log")
	}
}

func TestRefusedLogin(t *testing.T) {
	s := newServer(t)
	target := s.target
	dials := 0
	opt := Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return s.options().Dialer(ctx, network, addr)
	}}
	target.IdentityFiles = []string{filepath.Join(t.TempDir(), "other")}
	writeKey(t, target.IdentityFiles[0], "")
	fails(t, "another key", s.try(t, target, opt), transport.ErrAuth, "ops", "1 key offered")
	if dials != 2 { // try makes two connections
		t.Errorf("%d dials: a refused login was repeated", dials)
	}
	target.IdentityFiles = []string{"/no/such/key"}
	fails(t, "no key", s.try(t, target, opt), transport.ErrAuth, "/no/such/key")
	target.IdentityFiles = []string{filepath.Join(t.TempDir(), "locked")}
	writeKey(t, target.IdentityFiles[0], "open sesame")
	fails(t, "locked", s.try(t, target, opt), transport.ErrAuth, "passphrase")
	target = s.target
	target.User = "no-such-user"
	fails(t, "no such user", s.try(t, target, opt), transport.ErrAuth)
}

// An account that PAM lets not in: what sshd says of it is told, and where to look.
func TestAccountClosed(t *testing.T) {
	s := newServer(t)
	s.Shell(`echo "The machine boots. Come back later." >/run/nologin`)
	fails(t, "nologin", s.try(t, s.target, Options{}), transport.ErrUnreachable, "Come back later.", "/run/nologin", "chage -l ops")
	s.Shell(`rm /run/nologin; chage -E 1 ops`)
	fails(t, "expired", s.try(t, s.target, Options{}), transport.ErrUnreachable, "expired", "chage -l ops")
}

func TestPassphrase(t *testing.T) {
	s := newServer(t)
	target := s.target
	file := filepath.Join(t.TempDir(), "locked")
	s.WriteFile("/home/ops/.ssh/authorized_keys", writeKey(t, file, "open sesame"), 0o600)
	target.IdentityFiles = []string{file}
	var asked atomic.Int32
	opt := s.options()
	opt.Passphrase = func(f string) ([]byte, error) {
		asked.Add(1)
		if f != file {
			t.Errorf("asked for %s", f)
		}
		return []byte("open sesame"), nil
	}
	pool := NewPool(opt)
	defer pool.Close()
	errs := make(chan error)
	for range 8 {
		go func() {
			c, err := pool.Dial(t.Context(), target)
			if err == nil {
				err = c.Close()
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	opt.Passphrase = func(string) ([]byte, error) { return []byte("wrong"), nil }
	fails(t, "wrong passphrase", s.try(t, target, opt), transport.ErrAuth, file)
}

func TestAgent(t *testing.T) {
	s := newServer(t)
	pem, err := os.ReadFile(s.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	keyring.Add(agent.AddedKey{PrivateKey: private})
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, c)
		}
	}()
	target := s.target
	target.IdentityAgent = socket
	target.IdentitiesOnly = false
	target.IdentityFiles = []string{"/no/such/key"}
	if err := s.try(t, target, Options{}); err != nil {
		t.Errorf("with the agent: %v", err)
	}
	target.IdentitiesOnly = true
	fails(t, "IdentitiesOnly", s.try(t, target, Options{}), transport.ErrAuth, "0 keys offered")
	target.IdentityFiles = []string{s.key + ".pub"}
	if err := s.try(t, target, Options{}); err != nil {
		t.Errorf("named by its public half: %v", err)
	}
	target.IdentityAgent = ""
	if err := s.try(t, target, Options{Getenv: func(string) string { return socket }}); err != nil {
		t.Errorf("with SSH_AUTH_SOCK: %v", err)
	}
	target.IdentityAgent = "none"
	fails(t, "none", s.try(t, target, Options{Getenv: func(string) string { return socket }}), transport.ErrAuth)
}

// An agent that hangs costs a few seconds, not the login; one with more keys than the host takes is named as what to change.
func TestAgentInTheWay(t *testing.T) {
	s := newServer(t)
	target := s.target
	target.IdentitiesOnly, target.ConnectTimeout = false, 6*time.Second
	target.IdentityAgent = filepath.Join(t.TempDir(), "silent")
	silent, err := net.Listen("unix", target.IdentityAgent)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := s.try(t, target, Options{}); err != nil {
		t.Errorf("a key in a file, beside an agent that hangs: %v", err)
	}
	unreadable := filepath.Join(t.TempDir(), "folder")
	writeKey(t, unreadable, "")
	if err := os.WriteFile(unreadable+".pub", []byte(writeKey(t, unreadable, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(unreadable), os.Mkdir(unreadable, 0o700)); err != nil {
		t.Fatal(err)
	}
	target.IdentityFiles = []string{unreadable}
	fails(t, "no key", s.try(t, target, Options{}), transport.ErrAuth, "agent: "+target.IdentityAgent+" gave no answer", unreadable+": is a directory, and the agent")

	keyring := agent.NewKeyring()
	for range 10 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err == nil {
			err = keyring.Add(agent.AddedKey{PrivateKey: &private})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	target.IdentityAgent = filepath.Join(t.TempDir(), "many")
	many, err := net.Listen("unix", target.IdentityAgent)
	if err != nil {
		t.Fatal(err)
	}
	defer many.Close()
	go func() {
		for c, err := many.Accept(); err == nil; c, err = many.Accept() {
			go agent.ServeAgent(keyring, c)
		}
	}()
	fails(t, "ten keys", s.try(t, target, Options{}), transport.ErrAuth, "10 keys offered", "ssh_identities_only: true")
}

func TestCertificateLogin(t *testing.T) {
	s := newServer(t, "TrustedUserCAKeys /etc/ssh/ca.pub")
	dir := t.TempDir()
	s.WriteFile("/etc/ssh/ca.pub", writeKey(t, dir+"/ca", ""), 0o644)
	pem, _ := os.ReadFile(dir + "/ca")
	ca, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, dir+"/user", "")
	cert := &ssh.Certificate{Key: readPublic(dir + "/user.pub"), CertType: ssh.UserCert, ValidPrincipals: []string{"ops"}, ValidBefore: ssh.CertTimeInfinity,
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}}}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	target := s.target
	target.IdentityFiles = []string{dir + "/user"}
	fails(t, "key alone", s.try(t, target, Options{}), transport.ErrAuth)
	os.WriteFile(dir+"/elsewhere.pub", ssh.MarshalAuthorizedKey(cert), 0o600)
	target.CertificateFiles = []string{dir + "/elsewhere.pub"}
	if err := s.try(t, target, Options{}); err != nil {
		t.Errorf("CertificateFile: %v", err)
	}
	target.CertificateFiles = nil
	os.WriteFile(dir+"/user-cert.pub", ssh.MarshalAuthorizedKey(cert), 0o600)
	if err := s.try(t, target, Options{}); err != nil {
		t.Errorf("-cert.pub: %v", err)
	}
}

func TestPasswordLogin(t *testing.T) {
	s := newServer(t, "Match User asks", "PasswordAuthentication yes")
	target := s.target
	target.User, target.Become = "asks", false
	target.IdentityFiles = []string{"/no/such/key"}
	if err := s.try(t, target, Options{Password: answer("hunter2")}); err != nil {
		t.Error(err)
	}
	fails(t, "wrong password", s.try(t, target, Options{Password: answer("wrong")}), transport.ErrAuth)
}

func TestForwardingForbidden(t *testing.T) {
	s := newServer(t, "AllowTcpForwarding no")
	c := s.connect("ops")
	if _, err := c.Dial(t.Context(), "tcp", "127.0.0.1:22"); !errors.Is(err, transport.ErrForwarding) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Do(t.Context(), transport.Step{Argv: []string{"true"}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestJumps goes through two bastions, which is one server under three names; every hop's key is looked up under its own.
func TestJumps(t *testing.T) {
	s := newServer(t)
	s.trust("bastion1,bastion2,localhost")
	var dials atomic.Int32
	opt := Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return s.options().Dialer(ctx, network, addr)
	}}
	s.Shell(`echo "127.0.0.1 bastion2" >>/etc/hosts`)
	jump := func(name string) transport.Target {
		j := s.target
		j.Name, j.Address = name, name
		return j
	}
	target := jump("localhost")
	target.Jumps = []transport.Target{jump("bastion1"), jump("bastion2")}
	pool := NewPool(opt)
	defer pool.Close()
	for i := range 6 {
		c, err := pool.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(i, err)
		}
		defer c.Close()
		if r, err := c.Do(t.Context(), transport.Step{Argv: []string{"id", "-un"}}); err != nil || string(r[0].Stdout) != "root\n" {
			t.Fatal(r, err)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections to the bastion", dials.Load())
	}
	s.trust("bastion1,localhost")
	fresh := NewPool(opt)
	defer fresh.Close()
	_, err := fresh.Dial(t.Context(), target)
	fails(t, "second hop unknown", err, transport.ErrHostKey, "bastion2")
}

// TestUnreachable: nobody there, nobody answering, one who hangs up, one who talks nonsense.
func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		dials int
	}{
		"silent":         {func(net.Conn) {}, 1},
		"hangs up":       {func(c net.Conn) { c.Close() }, attempts},
		"too many":       {func(c net.Conn) { fmt.Fprintf(c, "Exceeded MaxStartups\r\n"); c.Close() }, attempts},
		"other protocol": {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n"+strings.Repeat("x", 1<<17)) }, 1},
		"stops":          {func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-x\r\n") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var dials atomic.Int32
			go func() {
				var held []net.Conn // a connection that nobody holds is closed when it is collected
				for {
					conn, err := l.Accept()
					if err != nil {
						for _, conn := range held {
							conn.Close()
						}
						return
					}
					dials.Add(1)
					held = append(held, conn)
					c.serve(conn)
				}
			}()
			target := transport.Target{Name: "h", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "ops", ConnectTimeout: time.Second}
			_, err = Dial(t.Context(), target, Options{KnownHosts: []string{"/dev/null"}})
			fails(t, name, err, transport.ErrUnreachable, "127.0.0.1")
			if int(dials.Load()) != c.dials {
				t.Errorf("%d dials, want %d: %v", dials.Load(), c.dials, err)
			}
		})
	}
	_, err := Dial(t.Context(), transport.Target{Name: "h", Address: "127.0.0.1", Port: 1, User: "ops"}, Options{})
	fails(t, "nobody", err, transport.ErrUnreachable, "refused")
}
