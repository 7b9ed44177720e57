package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// counts are what a host has seen since it started.
type counts struct {
	connections, sessions int
	// processes and threads started
	processes int
}

// countScript asks a host for them. Its own process id is the newest, and they are given one after the other: each host has its own.
const countScript = "echo $$; exec cat /var/log/auth.log"

// countProcesses is how many processes countScript takes.
const countProcesses = 1

// "Accepted key" is only a key that would do.
var accepted = regexp.MustCompile(`^Accepted \S+ for \S+ from `)

// readCounts reads the answer: a process id, then sshd's log at LogLevel VERBOSE (sshd_config(5)). A connection counts when its login was
// accepted, a session when it began, whether shell, command or subsystem.
func readCounts(answer string) (counts, error) {
	first, log, _ := strings.Cut(answer, "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return counts{}, fmt.Errorf("read process id: %w", err)
	}
	n := counts{processes: pid}
	for line := range strings.Lines(log) {
		switch {
		case accepted.MatchString(line):
			n.connections++
		case strings.HasPrefix(line, "Starting session: "):
			n.sessions++
		}
	}
	return n, nil
}
