package lab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// traces are what a lab has on the machine, as seen from outside.
type traces struct {
	Folder    string
	Veth      string
	Addr      string // the machine's in the lab's subnet
	processes map[int]string
}

// tracesOf reads lab.json and finds every process below the keeper.
func tracesOf(t *testing.T, folder string) traces {
	t.Helper()
	tr := traces{Folder: folder, processes: map[int]string{}}
	text, err := os.ReadFile(filepath.Join(folder, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return tr
	}
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Veth, Gateway string
		Keeper        struct{ PID int }
	}
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	tr.Veth, tr.Addr = record.Veth, record.Gateway
	if record.Keeper.PID != 0 {
		descend(record.Keeper.PID, tr.processes)
	}
	return tr
}

// descend adds a process and its children, with their start times.
func descend(pid int, into map[int]string) {
	start := startOf(pid)
	if start == "" {
		return
	}
	into[pid] = start
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err == nil {
				descend(child, into)
			}
		}
	}
}

// startOf is the start time of a process that has not ended, or "".
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// gone fails the test where anything of a lab is left. What the kernel still clears away has a minute.
func (tr traces) gone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		left := tr.left(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left of the lab: %s", strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (tr traces) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for pid, start := range tr.processes {
		if startOf(pid) == start {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	if _, err := os.Lstat(tr.Folder); !errors.Is(err, os.ErrNotExist) {
		left = append(left, fmt.Sprintf("%s (%v)", tr.Folder, err))
	}
	left = append(left, tr.network(t)...)
	// Mounts in any process's namespace, and processes whatever their parent.
	for _, pattern := range []string{"/proc/[0-9]*/mountinfo", "/proc/[0-9]*/cmdline"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			text, _ := os.ReadFile(f)
			if bytes.Contains(text, []byte(tr.Folder+"/")) || bytes.HasPrefix(text, []byte("pgfleet-lab-keeper "+filepath.Base(tr.Folder)+"\x00")) ||
				bytes.HasPrefix(text, []byte("pgfleet-lab-host "+filepath.Base(tr.Folder)+" ")) {
				left = append(left, f)
			}
		}
	}
	return left
}

func (tr traces) network(t *testing.T) []string {
	t.Helper()
	var left []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if tr.Veth != "" && strings.HasPrefix(i.Name, tr.Veth) {
			left = append(left, "interface "+i.Name)
		}
	}
	return left
}
