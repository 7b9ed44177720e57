package tasks

import (
	"net/netip"
	"slices"
	"sync"
)

// Proofs collects logins that were seen to work in this run, and which hosts it has changed. It is safe for concurrent use.
type Proofs struct {
	mu      sync.Mutex
	seen    map[string]bool
	waiting map[string]*WaitingError
	// changes counts by host. tested has how many there were on a client and a server when they were tested, by both names.
	changes map[string]int
	tested  map[string][2]int
	// sources are the addresses from which a client reaches a server, by both names.
	sources map[string][]netip.Addr
	// serves has what a server's cluster has shown last, by both names.
	serves map[string]string
}

// Add notes that client reached server with the given sslmode ("verify-full") or method ("cert").
func (p *Proofs) Add(client, server, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[client+"\x00"+server+"\x00"+what] = true
}

// Claim gives true to the first who asks for a test that is to be made once a server, false to everyone after.
func (p *Proofs) Claim(server, check string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := "\x00" + server + "\x00" + check
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	if p.seen[key] {
		return false
	}
	p.seen[key] = true
	return true
}

// Has tells whether Add was called with the same values.
func (p *Proofs) Has(client, server, what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[client+"\x00"+server+"\x00"+what]
}

// NoteChange notes that a task has changed a host.
func (p *Proofs) NoteChange(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes == nil {
		p.changes = map[string]int{}
	}
	p.changes[host]++
}

// NoteTest notes that all is as wanted between a client and a server.
func (p *Proofs) NoteTest(client, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tested == nil {
		p.tested = map[string][2]int{}
	}
	p.tested[client+"\x00"+server] = [2]int{p.changes[client], p.changes[server]}
}

// Changed tells whether a task has changed a client or a server since NoteTest, or, without that, in this run.
func (p *Proofs) Changed(client, server string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tested[client+"\x00"+server] != [2]int{p.changes[client], p.changes[server]}
}

// NoteSource notes an address from which a client reaches a server.
func (p *Proofs) NoteSource(client, server string, from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources == nil {
		p.sources = map[string][]netip.Addr{}
	}
	key := client + "\x00" + server
	if !slices.Contains(p.sources[key], from) {
		p.sources[key] = append(p.sources[key], from)
	}
}

// Sources gives what NoteSource noted of a client and a server.
func (p *Proofs) Sources(client, server string) []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sources[client+"\x00"+server]
}

// NoteServes notes which files a server's cluster has shown to serve, as a digest; "": it is not known.
func (p *Proofs) NoteServes(server, cluster, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serves == nil {
		p.serves = map[string]string{}
	}
	p.serves[server+"\x00"+cluster] = digest
}

// Serves gives what NoteServes noted last.
func (p *Proofs) Serves(server, cluster string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serves[server+"\x00"+cluster]
}
