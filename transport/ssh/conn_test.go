package ssh

import (
	"testing"

	"github.com/pgfleet/pgfleet/transport"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// TestSuite runs the shared suite against a real sshd: through sudo, as root, with a sudo password, and without SFTP.
func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		lines  []string
		user   string
		change func(*server, *Options)
	}{
		"sudo":          {user: "ops"},
		"root login":    {user: "root"},
		"sudo password": {user: "asks", change: func(_ *server, o *Options) { o.SudoPassword = answer("hunter2") }},
		"one session":   {user: "ops", lines: []string{"MaxSessions 1"}},
		"sudo with use_pty": {user: "ops", change: func(s *server, _ *Options) {
			s.Shell(`chmod 600 /etc/sudoers; echo "Defaults use_pty" >>/etc/sudoers; chmod 440 /etc/sudoers`)
		}},
		"no sftp": {user: "ops", change: func(s *server, _ *Options) { s.Exec("rm", "/usr/lib/openssh/sftp-server") }},
		"noise": {user: "ops", change: func(s *server, _ *Options) {
			s.WriteFile("/home/ops/.bashrc", "echo hello; echo oops >&2; printf 'no newline'; cd /tmp; alias cat=false; export LANG=de_DE.UTF-8 POSIXLY_CORRECT=1; umask 0", 0o644)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.lines...)
			opt := s.options()
			if c.change != nil {
				c.change(s, &opt)
			}
			s.target.User = c.user
			if err := s.try(t, s.target, opt); err != nil {
				t.Fatal(err)
			}
			transporttest.Suite(t, func(t *testing.T) transport.Conn {
				conn, err := Dial(t.Context(), s.target, opt)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			})
		})
	}
}
