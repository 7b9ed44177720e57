package playbooks

import (
	"errors"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/transport"
)

// A host that runs one program tells its clock with what that answers; every other host with the clock's own step.
func TestClockOfAHost(t *testing.T) {
	status := []byte("pgfleet-ca 1 1700000000 0\nanswer status ok\ndirectory absent \nuid 0\nend\n")
	for _, c := range []struct {
		name, program string
		result        transport.Result
		want          int64 // 0: it tells none
	}{
		{"a shell", "", transport.Result{Key: clockKey, Stdout: []byte("1700000001\n")}, 1700000001},
		{"a shell, something else", "", transport.Result{Key: "authority:clients", Stdout: status}, 0},
		{"a shell without date", "", transport.Result{Key: clockKey, Err: errors.New("exit code 127")}, 0},
		{"a shell with an odd date", "", transport.Result{Key: clockKey, Stdout: []byte("+%s\n")}, 0},
		{"one program", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "authority:clients", Stdout: status}, 1700000000},
		{"one program, refused", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "authority:clients", Err: errors.New("exit code 2")}, 0},
		{"one program, something else", "/usr/local/lib/pgfleet/ca", transport.Result{Key: "file:/etc/hosts", Stdout: []byte("1700000001\n")}, 0},
	} {
		h := &hostRun{inv: &inventory.Host{Target: transport.Target{Program: c.program}}}
		at, ok := (&runner{}).clockIn(h, c.result)
		if ok != (c.want != 0) || ok && !at.Equal(time.Unix(c.want, 0)) {
			t.Errorf("%s: %v %v, wanted %d", c.name, at, ok, c.want)
		}
	}
}
