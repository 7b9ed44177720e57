package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// labFolder is a state folder for a lab whose name is the folder's. It is short and unique; nothing is there yet.
func labFolder(t *testing.T, name string) string {
	t.Helper()
	labtest.Need(t)
	return filepath.Join(lab.Root, fmt.Sprintf("life-%d-%s", os.Getpid(), name))
}

func TestDownLeavesNothing(t *testing.T) {
	folder := labFolder(t, "down")
	l, err := lab.Up(t.Context(), lab.Options{Name: filepath.Base(folder), DB: 1, Client: 1})
	if err != nil {
		t.Fatal(err)
	}
	tr := tracesOf(t, folder)
	// The keeper, five hosts, their sshd, PostgreSQL's six.
	if len(tr.processes) < 17 || len(tr.network(t)) != 1 {
		t.Errorf("while it is up: %+v", tr)
	}
	if text, err := os.ReadFile("/proc/mounts"); err != nil || strings.Contains(string(text), folder) {
		t.Errorf("the machine has the lab's mounts (%v)", err)
	}
	// Not by this Lab, as the command would.
	if err := lab.Down(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	tr.gone(t)
	if err := l.Down(t.Context()); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("down again: %v", err)
	}
	if _, err := lab.Open(folder); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("open: %v", err)
	}
}

func TestSideBySide(t *testing.T) {
	one := labtest.Up(t, lab.Options{DB: 1})
	two := labtest.Up(t, lab.Options{DB: 1, Resolve: true, Folder: filepath.Join(t.TempDir(), strings.Repeat("long", 30))})
	if one.Subnet() == two.Subnet() {
		t.Errorf("both in %s", one.Subnet())
	}
	for _, l := range []*lab.Lab{one, two} {
		want(t, "ssh", mustSSH(t, l, "db1", "sudo -n hostname -f"), "db1.example.net")
	}
	db1, _ := one.Host("db1")
	other, _ := two.Host("db1")
	want(t, "names of others", labtest.Exec(t, two, "ca1", "getent", "hosts", "db1"), other.Addr+"      db1.example.net db1")
	if out, err := two.Exec(t.Context(), "ca1", []string{"ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", db1.Addr, "true"}, nil); err != nil || out.Code == 0 || !strings.Contains(out.Stderr, "unreachable") {
		t.Errorf("a host reaches another lab's: %+v, %v", out, err)
	}
	if _, err := lab.Up(t.Context(), lab.Options{Name: one.Name()}); err == nil || !strings.Contains(err.Error(), "pgfleet-lab down") {
		t.Errorf("the same lab twice: %v", err)
	}
	tr := tracesOf(t, two.Folder())
	if err := two.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.gone(t)
	want(t, "the other lab", mustSSH(t, one, "db1", "hostname"), "db1")
}

// points are moments of Up, told by what is there.
var points = []struct {
	name    string
	reached func(folder string) bool
}{
	{"folder", exists("")},
	{"record", exists("lab.json")},
	{"key", exists("id_ed25519.pub")},
	{"keeper recorded", func(folder string) bool {
		return exists("lab.json")(folder) && !contains("lab.json", `"start": 0`)(folder)
	}},
	{"layers", contains("log/keeper.log", "layers are made")},
	{"first host begins", exists("run/ca1")},
	{"first host is up", contains("log/keeper.log", "is up")},
	{"database is up", contains("log/keeper.log", "db1 is up")},
	{"controller's files", exists("inventory.yaml")},
}

func exists(name string) func(string) bool {
	return func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, name))
		return err == nil
	}
}

func contains(name, part string) func(string) bool {
	return func(folder string) bool {
		text, _ := os.ReadFile(filepath.Join(folder, name))
		return bytes.Contains(text, []byte(part))
	}
}

// An Up that is killed anywhere leaves nothing that Down does not remove.
func TestKilledUp(t *testing.T) {
	for i, p := range points {
		t.Run(p.name, func(t *testing.T) {
			folder := labFolder(t, fmt.Sprint("killed-", i))
			cmd := startChild(t, folder, false)
			await(t, folder, p.reached)
			killChild(t, cmd)
			tr := tracesOf(t, folder)
			if err := lab.Down(t.Context(), folder); err != nil && !errors.Is(err, lab.ErrNoLab) {
				t.Fatal(err)
			}
			tr.gone(t)
		})
	}
}

func startChild(t *testing.T, folder string, tied bool) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+folder, childVariable+"_NAME="+filepath.Base(folder))
	if tied {
		cmd.Env = append(cmd.Env, childVariable+"_TIED=1")
	}
	cmd.Stderr = os.Stderr
	if tied {
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
			t.Fatalf("child: %q, %v", line, err)
		}
		return cmd
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func killChild(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// "signal: killed", or how it had ended.
	_ = cmd.Wait()
}

// A tied lab goes with its process, files included.
func TestTied(t *testing.T) {
	folder := labFolder(t, "tied")
	cmd := startChild(t, folder, true)
	tr := tracesOf(t, folder)
	if len(tr.processes) < 17 {
		t.Errorf("while it is up: %+v", tr)
	}
	killChild(t, cmd)
	tr.gone(t)
}

// An Up that is cancelled or whose keeper dies says so and leaves nothing.
func TestFailedUp(t *testing.T) {
	folder := labFolder(t, "cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := lab.Up(ctx, lab.Options{Name: filepath.Base(folder), DB: 1})
		result <- err
	}()
	await(t, folder, contains("log/keeper.log", "is up"))
	tr := tracesOf(t, folder)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	tr.gone(t)

	go func() {
		_, err := lab.Up(t.Context(), lab.Options{Name: filepath.Base(folder), DB: 1})
		result <- err
	}()
	await(t, folder, contains("log/keeper.log", "is up"))
	tr = tracesOf(t, folder)
	syscall.Kill(keeperOf(tr), syscall.SIGKILL)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "keeper ended") {
		t.Errorf("keeper killed: %v", err)
	}
	tr.gone(t)
}

// keeperOf is the oldest of the lab's processes.
func keeperOf(tr traces) int {
	keeper := 0
	for pid, start := range tr.processes {
		if keeper == 0 || len(start) < len(tr.processes[keeper]) || len(start) == len(tr.processes[keeper]) && (start < tr.processes[keeper] || start == tr.processes[keeper] && pid < keeper) {
			keeper = pid
		}
	}
	return keeper
}

func await(t *testing.T, folder string, reached func(string) bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !reached(folder); {
		if time.Now().After(deadline) {
			t.Fatal("the lab does not get there")
		}
	}
}

// The record is of one process: another one with its number is left alone.
func TestDownSparesOthers(t *testing.T) {
	folder := labFolder(t, "spared")
	if _, err := lab.Up(t.Context(), lab.Options{Name: filepath.Base(folder)}); err != nil {
		t.Fatal(err)
	}
	tr := tracesOf(t, folder)
	syscall.Kill(keeperOf(tr), syscall.SIGKILL)
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	path := filepath.Join(folder, "lab.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(fmt.Sprintf(`"pid": %d`, keeperOf(tr))), []byte(fmt.Sprintf(`"pid": %d`, other.Process.Pid)), 1)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := lab.Down(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if startOf(other.Process.Pid) == "" {
		t.Error("down killed a process that is not the lab's")
	}
	tr.gone(t)
}

// Down keeps its hands off folders that are no lab's.
func TestDownForeignFolder(t *testing.T) {
	labtest.Need(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := lab.Down(t.Context(), folder); err == nil {
		t.Error("no error")
	}
	if _, err := lab.Up(t.Context(), lab.Options{Folder: folder}); err == nil {
		t.Error("up in a folder with other files")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// Who called sudo can use the lab without it.
func TestCallersFiles(t *testing.T) {
	t.Setenv("SUDO_UID", "65534")
	t.Setenv("SUDO_GID", "65534")
	l := labtest.Up(t, lab.Options{})
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "ssh", "-n", "-F", filepath.Join(l.Folder(), "ssh_config"), "-o", "BatchMode=yes", "ca1", "hostname")
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "ca1\n" {
		t.Errorf("ssh as the caller: %v: %s", err, out)
	}
	for _, private := range []string{"run", "hosts", "log"} {
		if out, err := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "ls", filepath.Join(l.Folder(), private)).CombinedOutput(); err == nil {
			t.Errorf("the caller reads %s: %s", private, out)
		}
	}
}
