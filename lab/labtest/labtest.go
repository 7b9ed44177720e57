// Package labtest gives tests a lab.
package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// made numbers this process's labs.
var made atomic.Int32

// Up makes a lab that ends with the test, or with the test process if that is killed. Where no lab can run, the test is skipped and a line
// says why; with CI=true in the environment it fails instead. An empty o.Name becomes a name of its own.
func Up(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	Need(t)
	if o.Name == "" {
		o.Name = fmt.Sprintf("test-%d-%d", os.Getpid(), made.Add(1))
	}
	o.Tied = true
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, o)
	if err != nil {
		t.Fatalf("make lab: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil && !errors.Is(err, lab.ErrNoLab) {
			t.Errorf("end lab: %v", err)
		}
	})
	return l
}

// Need skips the test where no lab can run, or fails it with CI=true.
func Need(t testing.TB) {
	t.Helper()
	if err := lab.Available(); err != nil {
		transporttest.Unable(t, err.Error())
	}
}

// Exec runs a command as root in a host and gives what it printed, without space around it; the test fails where the command does.
func Exec(t testing.TB, l *lab.Lab, host string, argv ...string) string {
	t.Helper()
	return Feed(t, l, host, "", argv...)
}

// Feed is Exec with standard input.
func Feed(t testing.TB, l *lab.Lab, host, stdin string, argv ...string) string {
	t.Helper()
	out, err := l.Exec(t.Context(), host, argv, strings.NewReader(stdin))
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	if out.Code != 0 {
		t.Fatalf("%s: %q: exit code %d\n%s%s", host, argv, out.Code, out.Stdout, out.Stderr)
	}
	return strings.TrimSpace(out.Stdout)
}
