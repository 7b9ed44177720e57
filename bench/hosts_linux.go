package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// treeTime is the CPU time that a process and its descendants have used: those that live, and those that were waited for
// (proc_pid_stat(5), utime, stime, cutime, cstime).
func treeTime(pid int) time.Duration {
	sum := statTime(pid)
	for _, child := range childrenOf(pid) {
		sum += treeTime(child)
	}
	return sum
}

// statTime is that of one process, to a tick each; 0 where it is gone.
func statTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseStat(string(text))
}

// parseStat reads a line of proc_pid_stat(5). A program's name may hold spaces and parentheses: fields count from the last one.
func parseStat(line string) time.Duration {
	const utime, tick = 14 - 3, 10 * time.Millisecond
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < utime+4 {
		return 0
	}
	var sum time.Duration
	for _, field := range fields[utime : utime+4] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// hostsTime is the CPU time of all hosts so far: the lab is this process's only child while no tool runs.
func hostsTime() time.Duration {
	var sum time.Duration
	for _, child := range childrenOf(os.Getpid()) {
		sum += treeTime(child)
	}
	return sum
}
