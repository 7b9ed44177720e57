package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A lab's own processes are this program, started again with stageVariable set: whatever binary imports the package, the
// command or a test. init runs before main, so that such a process never gets there.
const stageVariable = "PGFLEET_LAB_STAGE"

const (
	stageProbe  = "probe"
	stageKeeper = "keeper"
	stageHost   = "host"
)

func init() {
	stage := os.Getenv(stageVariable)
	if stage == "" {
		return
	}
	os.Exit(runStage(stage))
}

func runStage(stage string) int {
	var err error
	os.Unsetenv(stageVariable)
	syscall.Umask(0o022)
	switch stage {
	case stageProbe:
		err = probe()
	case stageKeeper:
		err = keep()
	case stageHost:
		err = runHost()
	default:
		err = fmt.Errorf("unknown stage %q in %s", stage, stageVariable)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, stage+":", err)
		return 1
	}
	return 0
}

// stageCommand is this program as a stage, in new namespaces; label is what a process list shows.
func stageCommand(stage, label string, flags uintptr) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Args = []string{label}
	cmd.Env = append(cleanEnvironment(), stageVariable+"="+stage)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: flags}
	return cmd, nil
}

func cleanEnvironment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}
}

// command runs a program of the machine to its end; an error carries what it said. Up itself makes nothing by it: such a program would go on
// after Up was killed, and make things that Down no longer sees.
func command(stdin string, argv ...string) error { return commandWith(nil, stdin, argv...) }

// commandWith gives the program a file, as number 3.
func commandWith(file *os.File, stdin string, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = cleanEnvironment()
	cmd.Stdin = strings.NewReader(stdin)
	if file != nil {
		cmd.ExtraFiles = []*os.File{file}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", argv[0], err, out)
	}
	return nil
}

// send writes one JSON value and a newline.
func send(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}
