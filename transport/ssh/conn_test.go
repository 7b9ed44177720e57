package ssh

import (
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

func TestFirst(t *testing.T) {
	s := newServer(t)
	begin := time.Now()
	c := s.connect("ops")
	t.Log("connect", time.Since(begin), c.(*conn).host)
	do := func(steps ...transport.Step) {
		begin := time.Now()
		results, err := c.Do(t.Context(), steps...)
		t.Log("Do", time.Since(begin), err)
		for i, r := range results {
			t.Logf("%d: %s %d %q %q %v %+v %v", i, r.Key, r.Code, r.Stdout, r.Stderr, r.Err, r.File, r.Took)
		}
	}
	do(transport.Step{Argv: []string{"id"}},
		transport.Step{Write: &transport.FileMeta{Path: "/etc/a", Owner: "postgres", Group: "postgres", Mode: 0o640}, Stdin: []byte("hello")},
		transport.Step{Write: &transport.FileMeta{Path: "/etc/b", Owner: "root", Group: "root", Mode: 0o644}, Stdin: []byte("hello")},
		transport.Step{Shell: "ls -l /etc/a /etc/b; echo $HOME; ls -l /proc/self/fd; env"})
	do(transport.Step{Write: &transport.FileMeta{Path: "/home/ops/x"}, User: "ops", Stdin: []byte("hello")}, transport.Step{Shell: "ls -la /home/ops; ps ax", User: "ops"})
	do(transport.Step{Write: &transport.FileMeta{Path: "/root/nodir/x"}, Stdin: []byte("hello")})
	do(transport.Step{Write: &transport.FileMeta{Path: "/home/ops/y"}, Stdin: []byte("hello")}, transport.Step{Write: &transport.FileMeta{Path: "/root/x"}, User: "ops", Stdin: []byte("hello")})
	t.Logf("%+v", c.(*conn).Stats())
}
