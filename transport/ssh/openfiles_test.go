package ssh

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

func TestCheckOpenFiles(t *testing.T) {
	gate := []transport.Target{{Name: "gate", Address: "gate", User: "ops"}}
	var direct, behind []transport.Target
	for i := range 1000 {
		direct = append(direct, transport.Target{Address: fmt.Sprintf("h%d", i)})
		behind = append(behind, transport.Target{Address: fmt.Sprintf("h%d", i), Jumps: gate})
	}
	for _, c := range []struct {
		name    string
		targets []transport.Target
		atOnce  int
		limit   uint64
		needed  int
	}{
		{"all at once", direct, 0, 1024, 1032},
		{"just enough", direct, 0, 1032, 0},
		{"some at a time", direct, 50, 1024, 0},
		{"few files", direct, 50, 64, 82},
		{"behind a bastion", behind, 0, 64, 0},
		{"both", append(behind[:10:10], direct...), 0, 1024, 1033},
	} {
		var e *OpenFilesError
		err := checkOpenFiles(c.targets, c.atOnce, c.limit)
		if errors.As(err, &e); (err != nil) != (c.needed > 0) || e != nil && e.Needed != c.needed {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	err := checkOpenFiles(direct, 0, 1024)
	if want := "1000 connections at once need 1032 open files, and this process may have 1024: nothing was contacted"; err.Error() != want {
		t.Errorf("got %s, want %s", err, want)
	}
	var few *OpenFilesError
	if !errors.As(err, &few) || !strings.Contains(few.Hint(), "ulimit -Hn 1032") {
		t.Error(err)
	}
}
