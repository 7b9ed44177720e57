package main

import (
	"regexp"
	"strings"
)

// logins are what an sshd counted.
type logins struct{ connections, sessions int }

// "Accepted key" is only a key that would do.
var accepted = regexp.MustCompile(`^Accepted \S+ for \S+ from `)

// countLogins reads sshd's log at LogLevel VERBOSE (sshd_config(5)): a connection counts when its login was accepted, a session when it
// began, whether shell, command or subsystem.
func countLogins(log string) logins {
	var n logins
	for line := range strings.Lines(log) {
		switch {
		case accepted.MatchString(line):
			n.connections++
		case strings.HasPrefix(line, "Starting session: "):
			n.sessions++
		}
	}
	return n
}
