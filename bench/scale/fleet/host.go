package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Host is one simulated host.
type Host struct {
	fleet *Fleet
	// address is the inventory's, which clients and rules see; SSH comes by loopback.
	name, address, loopback string
	role                    string
	index                   int
	uses                    *Host
	// unauthenticated connections, for MaxStartups.
	starting startups

	mu       sync.Mutex
	disk     disk
	lease    string
	postgres *postgresServer
	batches  int
	// testers counts clients that test this server now.
	testers atomic.Int32
}

// step is one step as it came over the wire.
type step struct {
	id    int
	probe bool
	words []string
	stdin []byte
	user  string
}

// argv are a program's $1, $2, ….
func (s *step) argv() []string { return s.words[4:] }

// arg gives $n, counted from 1; "" when there are fewer.
func (s *step) arg(n int) string {
	if a := s.argv(); n <= len(a) {
		return a[n-1]
	}
	return ""
}

// lines gives a block: the words after $n, a line each, or else standard input.
func (s *step) lines(n int) []byte {
	if len(s.argv()) <= n {
		return s.stdin
	}
	return []byte(strings.Join(s.argv()[n:], "\n") + "\n")
}

func (s *step) acts() account {
	if s.user == "-" {
		return root
	}
	return accounts[s.user]
}

// do runs one step in the model.
func (h *Host) do(s *step) reply {
	one, err := h.fleet.programs.find(s)
	if err != nil {
		h.fleet.counters.add(func(c *Counts) { c.Unknown++ })
		h.fleet.counters.mu.Lock()
		if h.fleet.counters.unknown == "" {
			h.fleet.counters.unknown = h.name + ": " + err.Error()
		}
		h.fleet.counters.mu.Unlock()
		return reply{err: []byte("simulated host: " + err.Error() + "\n"), code: 97}
	}
	h.fleet.counters.mu.Lock()
	if h.fleet.counters.programs == nil {
		h.fleet.counters.programs = map[string]int{}
	}
	h.fleet.counters.programs[one.name]++
	h.fleet.counters.mu.Unlock()
	if one.name == "ca" {
		return one.run(h, s) // a real program, which may take its time
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return one.run(h, s)
}

// pause is the time that a host takes for a batch.
func (h *Host) pause() {
	h.mu.Lock()
	wait := h.fleet.opt.Delay
	if h.batches++; h.name == h.fleet.opt.Slow && h.batches == max(h.fleet.opt.SlowBatch, 1) {
		wait = h.fleet.opt.SlowDelay
	}
	h.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
}

func (h *Host) date(*step) reply { return said(fmt.Sprintf("%d\n", time.Now().Unix())) }

func (h *Host) ping(*step) reply {
	return said("root\nOpenSSL 3.0.15 3 Sep 2024 (Library: OpenSSL 3.0.15 3 Sep 2024)\npsql (PostgreSQL) 15.8\n")
}

// ids answers transport/ssh's question for numbers of users and groups.
func (h *Host) ids(s *step) reply {
	var b strings.Builder
	for _, word := range s.argv() {
		kind, name, _ := strings.Cut(word, ":")
		a, ok := accounts[name]
		switch {
		case !ok:
			b.WriteString("-\n")
		case kind == "u":
			fmt.Fprintf(&b, "%d\n", a.uid)
		default:
			fmt.Fprintf(&b, "%d\n", a.gid)
		}
	}
	return said(b.String())
}

// place puts complete files in their places.
func (h *Host) place(s *step) reply {
	n := 0
	for words := s.argv(); len(words) > 1; words = words[2:] {
		if !h.disk.move(words[0], words[1]) {
			return reply{out: fmt.Appendf(nil, "%d\n", n), err: []byte("mv: cannot stat '" + words[0] + "': No such file or directory\n"), code: 1}
		}
		n++
	}
	return said(fmt.Sprintf("%d\n", n))
}

func (h *Host) leaseTake(s *step) reply {
	run := s.arg(2)
	if h.lease != "" && h.lease != run {
		now := time.Now().Unix()
		return reply{out: fmt.Appendf(nil, "%s\nsomebody\n-\n%d\n%d\n", h.lease, now+60, now), code: 75}
	}
	h.lease = run
	return reply{}
}

func (h *Host) leaseRelease(s *step) reply {
	if h.lease == s.arg(2) {
		h.lease = ""
	}
	return reply{}
}

// write is transport/shell/programs/write.sh, which writes where there is no sftp-server: path, owner, group, mode.
func (h *Host) write(s *step) reply {
	mode, err := strconv.ParseUint(s.arg(4), 8, 32)
	if err != nil {
		return failed(err.Error())
	}
	owner := s.acts()
	if a, ok := accounts[s.arg(2)]; ok {
		owner = a
	}
	f := h.disk.put(s.arg(1), s.stdin, owner, uint32(mode))
	if s.arg(3) != "" {
		f.group = s.arg(3)
	}
	return reply{}
}
