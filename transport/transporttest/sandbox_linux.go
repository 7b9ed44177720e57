package transporttest

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed sandbox.sh
var sandboxProgram string

// Sandbox is a private host on this machine and a connection to it: own mount, network, process, UTS and IPC namespace, its root an
// overlay over the machine's, all changes in memory. /run, /tmp and /dev/shm are fresh, lo is up, nothing else reaches it.
// Its Do runs the program of transport/shell, so that tasks meet a real sh, openssl and PostgreSQL without an sshd;
// files go through the shell.
type Sandbox struct {
	transport.Conn
	tb  testing.TB
	pid int
}

// NewSandbox makes a host that ends with the test. Off Linux or without root the test is skipped; with CI=true it fails.
func NewSandbox(tb testing.TB) *Sandbox {
	tb.Helper()
	if os.Geteuid() != 0 {
		Unable(tb, "a sandbox needs root")
	}
	base := tb.TempDir()
	cmd := exec.Command("/bin/sh", "-c", sandboxProgram, "sandbox", base, "sandbox")
	cmd.Env = sandboxEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		Unable(tb, "start a sandbox: "+err.Error())
	}
	tb.Cleanup(func() {
		life.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := io.ReadAll(io.LimitReader(out, 6)); err != nil || string(line) != "ready\n" {
		tb.Fatalf("start a sandbox: %v %s", err, stderr.String())
	}
	sb := &Sandbox{tb: tb, pid: cmd.Process.Pid}
	if out, err := sb.Command(context.Background(), "cat", "/run/sandbox").Output(); err != nil || string(out) != sandboxMark {
		tb.Fatalf("enter a sandbox: it is not where commands run, so nothing may run: %q, %v", out, err)
	}
	sb.Conn = sb.Connect()
	return sb
}

// sandboxMark is in a file that only a sandbox has.
const sandboxMark = "sandbox of pgfleet's tests\n"

func sandboxEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root"}
}

// PID is the process id, seen from outside, of the sandbox's process 1: a handle to its namespaces under /proc.
func (sb *Sandbox) PID() int { return sb.pid }

// Path is where a test finds the sandbox's file path from outside. Absolute symlinks on the way would lead to the machine's own files.
func (sb *Sandbox) Path(path string) string {
	return filepath.Join("/proc", strconv.Itoa(sb.pid), "root", path)
}

// Command prepares a command that runs as root inside.
func (sb *Sandbox) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	// With -r the root folder is the sandbox's own: without it, a test that itself runs below a chroot would end up in the machine's.
	enter := []string{"-t", strconv.Itoa(sb.pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = sandboxEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Exec runs a command as root inside and returns its standard output without the last newline. The test ends when it fails.
func (sb *Sandbox) Exec(name string, args ...string) string {
	sb.tb.Helper()
	cmd := sb.Command(context.Background(), name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		sb.tb.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n")
}

// Shell runs a sh program as root inside, args are its $1, $2, …; otherwise like Exec.
func (sb *Sandbox) Shell(program string, args ...string) string {
	sb.tb.Helper()
	return sb.Exec("/bin/sh", append([]string{"-c", program, "sh"}, args...)...)
}

// WriteFile writes a file inside, below folders that it makes, following links as seen from inside.
func (sb *Sandbox) WriteFile(path, content string, mode os.FileMode) {
	sb.tb.Helper()
	cmd := sb.Command(context.Background(), "/bin/sh", "-c", `mkdir -p "${1%/*}/" && cat >"$1" && chmod "$2" "$1"`, "sh", path, fmt.Sprintf("%o", mode))
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		sb.tb.Fatalf("write %s: %v %s", path, err, out)
	}
}

// ReadFile gives a file's bytes as seen from inside. The test ends when it cannot be read.
func (sb *Sandbox) ReadFile(path string) string {
	sb.tb.Helper()
	out, err := sb.Command(context.Background(), "cat", "--", path).Output()
	if err != nil {
		sb.tb.Fatalf("read %s: %v", path, err)
	}
	return string(out)
}

// Connect makes another connection to the same host: for a second run, or after one was cut. It ends with the test.
func (sb *Sandbox) Connect() transport.Conn {
	sb.tb.Helper()
	c, err := dialSandbox(sb)
	if err != nil {
		sb.tb.Fatal(err)
	}
	sb.tb.Cleanup(func() { c.Close() })
	return c
}
