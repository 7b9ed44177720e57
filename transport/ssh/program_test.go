package ssh

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// A host that lets us run one program: through sudo, behind a forced command, as root; and one that does not let us.
func TestProgram(t *testing.T) {
	s := newServer(t)
	const program = "/usr/local/lib/one"
	s.WriteFile(program, `#!/bin/sh
read -r word
case $word in
fail) echo "no such thing" >&2; exit 3 ;;
big) head -c 300000 /dev/zero ;;
*) echo "$(id -un) $# $word $SSH_ORIGINAL_COMMAND" ;;
esac
`, 0o755)
	s.Shell(`echo 'never,ops ALL=(root) NOPASSWD: ` + program + ` ""' >>/etc/sudoers`)
	s.Shell(`sed 's|^|command="sudo -n ` + program + `",restrict |' /home/never/.ssh/authorized_keys >/home/ops/.ssh/authorized_keys`)
	call := func(word string) transport.Step {
		return transport.Step{Key: "call", Argv: []string{program}, Stdin: []byte(word + "\n"), Limit: time.Second}
	}
	dial := func(user string) transport.Conn {
		t.Helper()
		target := s.target
		target.User, target.Become, target.Program = user, user != "root", program
		conn, err := Dial(t.Context(), target, s.options())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for _, user := range []string{"never", "ops", "root"} {
		conn := dial(user)
		probe := call("fail")
		probe.Probe = true
		results, err := conn.Do(t.Context(), call("one"), probe, call("big"), call("fail"), call("two"))
		if err != nil || len(results) != 4 {
			t.Fatalf("%s: %v, %d results", user, err, len(results))
		}
		if out := string(results[0].Stdout); !strings.HasPrefix(out, "root 0 one") {
			t.Errorf("%s: %q", user, out)
		}
		if exit := new(transport.ExitError); !errors.As(results[1].Err, &exit) || exit.Code != 3 || results[1].Code != 3 || !strings.Contains(results[1].Err.Error(), "no such thing") {
			t.Errorf("%s: %v", user, results[1].Err)
		}
		if n := len(results[2].Stdout); n != 300000 {
			t.Errorf("%s: %d bytes", user, n)
		}
		other := []transport.Step{{Argv: []string{"id"}}, {Argv: []string{program, "x"}}, {Shell: "id", Argv: []string{program}}, {Argv: []string{program}, User: "ops"}, {Read: "/etc/passwd"},
			{Write: &transport.FileMeta{Path: "/tmp/x"}}}
		for _, step := range other {
			if results, err := conn.Do(t.Context(), step); err != nil || len(results) != 1 || !errors.Is(results[0].Err, fs.ErrPermission) {
				t.Errorf("%s: %+v: %v %+v", user, step, err, results)
			}
		}
		if _, err := conn.Dial(t.Context(), "tcp", "127.0.0.1:22"); !errors.Is(err, transport.ErrForwarding) {
			t.Errorf("%s: dial: %v", user, err)
		}
		if stats := conn.(interface{ Stats() transport.Stats }).Stats(); stats.Connections != 1 || stats.RoundTrips != 1+len(other) {
			t.Errorf("%s: %+v", user, stats)
		}
	}
	_, err := dial("asks").Do(t.Context(), call("one"))
	fails(t, "no rule of sudo", err, transport.ErrBecome, "sudo does not let it run "+program)
	s.Shell("rm " + program)
	for _, user := range []string{"never", "root"} {
		_, err := dial(user).Do(t.Context(), call("one"))
		fails(t, "the program is gone, "+user, err, transport.ErrBecome, program)
	}
}
