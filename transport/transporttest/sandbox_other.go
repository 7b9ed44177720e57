//go:build !linux

package transporttest

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// Sandbox is a private host; it exists on Linux only.
type Sandbox struct{ transport.Conn }

// NewSandbox skips the test off Linux; with CI=true it fails.
func NewSandbox(tb testing.TB) *Sandbox {
	tb.Helper()
	Unable(tb, "a sandbox needs Linux")
	return nil
}

// PID is not reached off Linux, and so with all that follow.
func (sb *Sandbox) PID() int { return 0 }

// Path gives the path as it is.
func (sb *Sandbox) Path(path string) string { return path }

// Command prepares nothing.
func (sb *Sandbox) Command(context.Context, string, ...string) *exec.Cmd { return nil }

// Exec runs nothing.
func (sb *Sandbox) Exec(string, ...string) string { return "" }

// Shell runs nothing.
func (sb *Sandbox) Shell(string, ...string) string { return "" }

// WriteFile writes nothing.
func (sb *Sandbox) WriteFile(string, string, os.FileMode) {}

// ReadFile reads nothing.
func (sb *Sandbox) ReadFile(string) string { return "" }

// Connect gives none.
func (sb *Sandbox) Connect() transport.Conn { return nil }
