package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// record gives a process's identity.
func record(pid int) (process, error) {
	start, err := startTime(pid)
	return process{PID: pid, Start: start}, err
}

func startTime(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; field 3 follows the last ')'.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("read /proc/%d/stat: %d fields after the name", pid, len(fields))
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// open gives a pidfd of the recorded process, or ok=false when it is gone.
func (p process) open() (fd int, ok bool, err error) {
	if p.PID <= 1 {
		return -1, false, nil
	}
	fd, err = unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, false, nil
	}
	if err != nil {
		return -1, false, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	start, err := startTime(p.PID)
	if err == nil && start == p.Start {
		return fd, true, nil
	}
	unix.Close(fd)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return -1, false, nil
	}
	return -1, false, fmt.Errorf("read start of process %d: %w", p.PID, err)
}

// end kills exactly the recorded process, and waits until it is gone. Gone already is no error.
func (p process) end(limit time.Duration) error {
	fd, ok, err := p.open()
	if !ok {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end process %d: %w", p.PID, err)
	}
	exited, err := awaitExit(fd, limit)
	if err == nil && !exited {
		return fmt.Errorf("end process %d: it still runs after %s", p.PID, limit)
	}
	return err
}

func awaitExit(pidfd int, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	for {
		left := max(0, time.Until(deadline))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("await end of process: %w", err)
		}
		return n > 0, nil
	}
}
