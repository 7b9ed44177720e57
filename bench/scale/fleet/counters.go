package fleet

import (
	"net"
	"sync"
	"time"
)

// Counts is what the hosts have seen since the last Reset.
type Counts struct {
	// Connections accepted, MostOpen of them at once, Logins, Dropped by MaxStartups.
	Connections, MostOpen, Logins, Dropped int
	// Sessions opened, Refused by MaxSessions; Forwards: direct-tcpip channels.
	Sessions, Refused, Forwards int
	// Batches of steps; Steps; Files written over SFTP; Unknown: steps whose program the model does not know.
	Batches, Steps, Files, Unknown int
	// Signed by authorities in SigningBatches calls of ca.sh, which took Signing together.
	Signed, SigningBatches int
	Signing                time.Duration
	// Tests: connections that clients made to servers (verify); MostTesters: the most clients that tested one server at once.
	Tests, MostTesters int
}

type counters struct {
	mu   sync.Mutex
	now  Counts
	open map[net.Conn]bool
	// by program, for a look at what the hosts were asked.
	programs map[string]int
	unknown  string
}

func (c *counters) add(edit func(*Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(&c.now)
}

func (c *counters) opened(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[conn] = true
	c.now.Connections++
	c.now.MostOpen = max(c.now.MostOpen, len(c.open))
}

func (c *counters) closed(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

func (c *counters) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.Close()
	}
}

// Reset starts counting anew.
func (f *Fleet) Reset() {
	f.counters.mu.Lock()
	defer f.counters.mu.Unlock()
	f.counters.now, f.counters.programs, f.counters.unknown = Counts{}, map[string]int{}, ""
}

// Counts gives what the hosts have seen, and the first unknown program's beginning ("" when all were known).
func (f *Fleet) Counts() (Counts, string) {
	f.counters.mu.Lock()
	defer f.counters.mu.Unlock()
	return f.counters.now, f.counters.unknown
}
