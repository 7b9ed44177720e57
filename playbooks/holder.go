package playbooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// process names this process so that another one on the same machine can tell whether it still lives: boot, pid namespace, pid and start
// time, separated by colons. "" where /proc does not tell.
func process(proc string, pid int) string {
	boot, err := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	space, err := os.Readlink(filepath.Join(proc, fmt.Sprint(pid), "ns/pid"))
	if err != nil {
		return ""
	}
	start, err := startTime(proc, pid)
	if err != nil {
		return ""
	}
	space = strings.Trim(strings.TrimPrefix(space, "pid:"), "[]")
	return fmt.Sprintf("%s:%s:%d:%s", strings.TrimSpace(string(boot)), space, pid, start)
}

// startTime gives field 22 of proc(5) /proc/<pid>/stat: clock ticks after boot. A process that ended and waits to be reaped does not exist.
func startTime(proc string, pid int) (string, error) {
	data, err := os.ReadFile(filepath.Join(proc, fmt.Sprint(pid), "stat"))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("%s/%d/stat is not as in proc(5)", proc, pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", os.ErrNotExist
	}
	return fields[19], nil
}

// ended tells whether the process that holder names ran on this machine, in this boot, and is certainly gone. Anything else, also what cannot
// be known from here, is false.
func ended(proc, holder string) bool {
	mine := strings.Split(process(proc, os.Getpid()), ":")
	theirs := strings.Split(holder, ":")
	if len(mine) != 4 || len(theirs) != 4 || mine[0] != theirs[0] || mine[1] != theirs[1] {
		return false
	}
	var pid int
	if _, err := fmt.Sscan(theirs[2], &pid); err != nil || pid < 1 {
		return false
	}
	start, err := startTime(proc, pid)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return start != theirs[3]
}
