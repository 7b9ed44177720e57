package cmd_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A question for a secret comes when the terminal shows nothing any more of what is typed. Ctrl-C ends the command with 130, and the terminal shows it again.
func TestInterruptAtAQuestion(t *testing.T) {
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer screen.Close()
	terminal := otherEnd(t, screen)
	defer terminal.Close()
	program := exec.Command(os.Args[0], "hosts", "--ping", "-K", "-i", inventoryFile(t))
	program.Args[0] = "pgfleet" // see TestMain
	program.Stdin, program.Stdout, program.Stderr = terminal, terminal, terminal
	program.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	var shown []byte
	for !bytes.Contains(shown, []byte("sudo password: ")) {
		some := make([]byte, 1024)
		n, err := screen.Read(some)
		if err != nil {
			t.Fatalf("%v; shown: %q", err, shown)
		}
		shown = append(shown, some[:n]...)
	}
	if echoes(t, terminal) {
		t.Error("it asks while the terminal still shows what is typed")
	}
	if _, err := screen.WriteString("secr\x03"); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := program.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("%v, want exit code 130", err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal still hides what is typed")
	}
}

func inventoryFile(t *testing.T) string {
	t.Helper()
	file := t.TempDir() + "/inventory.yaml"
	if err := os.WriteFile(file, []byte("vars: {become: true}\nhosts: {db1: {address: 192.0.2.1}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// otherEnd opens the terminal behind /dev/ptmx (pts(4)).
func otherEnd(t *testing.T, screen *os.File) *os.File {
	t.Helper()
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
