package ssh

import (
	"fmt"

	"github.com/pgfleet/pgfleet/transport"
)

// spareFiles are open files that a process needs besides its connections: standard streams, known_hosts, an agent, the poller, what it prints to.
const spareFiles = 32

// OpenFilesError is a limit of open files that does not let a command hold its connections.
type OpenFilesError struct {
	// Needed open files, of which Connections are to hosts and bastions; Limit is what the process may open.
	Needed, Connections int
	Limit               uint64
}

// Error says what is needed and what there is.
func (e *OpenFilesError) Error() string {
	return fmt.Sprintf("%d connections at once need %d open files, and this process may have %d: nothing was contacted", e.Connections, e.Needed, e.Limit)
}

// Hint is what to do about it.
func (e *OpenFilesError) Hint() string {
	return fmt.Sprintf("raise the hard limit (ulimit -Hn %d, LimitNOFILE= of a systemd unit, limits.conf(5)), or work on fewer hosts at a time with -l", e.Needed)
}

// CheckOpenFiles tells beforehand, as an *OpenFilesError, whether connections to all of targets can be open at once, atOnce of them where that is
// fewer and not 0. A host behind a bastion costs no file of this process; its bastion costs one. The soft limit does not matter: Go raises it to the hard
// one when a program starts.
func CheckOpenFiles(targets []transport.Target, atOnce int) error {
	limit, known := openFiles()
	if !known {
		return nil
	}
	return checkOpenFiles(targets, atOnce, limit)
}

func checkOpenFiles(targets []transport.Target, atOnce int, limit uint64) error {
	direct, bastions := 0, map[string]bool{}
	for _, t := range targets {
		if len(t.Jumps) == 0 {
			direct++
			continue
		}
		bastions[t.Jumps[0].User+"@"+address(t.Jumps[0])] = true
	}
	if atOnce > 0 {
		direct = min(direct, atOnce)
	}
	connections := direct + len(bastions)
	if needed := connections + spareFiles; uint64(needed) > limit {
		return &OpenFilesError{Needed: needed, Connections: connections, Limit: limit}
	}
	return nil
}
