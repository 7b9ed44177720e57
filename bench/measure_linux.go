package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of whatever its descendants leave behind, so that ControlPersist masters and other daemons are
// found, counted and ended.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// measure runs a command to its end, then ends what it left in the background. An error means that the command did not end well.
func measure(ctx context.Context, cmd *exec.Cmd) (sample, error) {
	ours := childrenOf(os.Getpid())
	before, err := childTime()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) })
	defer stop()
	memory := watchMemory(cmd.Process.Pid, ours)
	failed := cmd.Wait()
	s := sample{Wall: time.Since(began), RoundTrips: -1, Changed: -1, Memory: memory()}
	if err := endOrphans(ours); err != nil {
		return s, err
	}
	after, err := childTime()
	if err != nil {
		return s, err
	}
	s.CPU = after - before
	if ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	return s, failed
}

// childTime is the CPU time of all children that were waited for, and of those that they waited for (getrusage(2)).
func childTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// endOrphans ends every child but ours: first politely, so that an ssh says goodbye.
func endOrphans(ours []int) error {
	deadline := time.Now().Add(10 * time.Second)
	signal, hard := syscall.SIGTERM, time.Now().Add(3*time.Second)
	for {
		left := slices.DeleteFunc(childrenOf(os.Getpid()), func(pid int) bool { return slices.Contains(ours, pid) })
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end background processes: %v are still there", left)
		}
		if time.Now().After(hard) {
			signal = syscall.SIGKILL
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, signal)
			_, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			if err != nil && !errors.Is(err, syscall.EINTR) {
				return fmt.Errorf("await background process %d: %w", pid, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// childrenOf reads proc(5): every thread has a list of the children that it started or adopted.
func childrenOf(pid int) []int {
	var children []int
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// watchMemory samples the memory of a command and its descendants, orphans too, until the function that it gives is called; that gives the
// peak. Pages that processes share count once among them (PSS, proc_pid_smaps(5)): a forking tool is not charged twice. The command's own
// peak is the kernel's (VmHWM), so that a short one is not missed.
func watchMemory(command int, ours []int) func() int64 {
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for pause := 20 * time.Millisecond; ; {
			select {
			case <-stop:
				done <- peak
				return
			case <-time.After(pause):
			}
			began := time.Now()
			peak = max(peak, treeMemory(os.Getpid(), ours), kilobytes(command, "status", "VmHWM:"))
			// Looking must cost little: one part in 40 of a processor.
			pause = max(20*time.Millisecond, 40*time.Since(began))
		}
	}()
	return func() int64 { close(stop); return <-done }
}

// treeMemory is the PSS of all descendants except some children.
func treeMemory(pid int, except []int) int64 {
	var sum int64
	for _, child := range childrenOf(pid) {
		if !slices.Contains(except, child) {
			sum += kilobytes(child, "smaps_rollup", "Pss:") + treeMemory(child, nil)
		}
	}
	return sum
}

// kilobytes reads a figure of a process, in bytes; 0 where the process is gone.
func kilobytes(pid int, file, key string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
