package printers

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Patience names, where there is no live display, the hosts that take long to connect to, each once. It is safe for concurrent use.
type Patience struct {
	// Say prints a line.
	Say func(string)

	mu sync.Mutex
	// dialling: hosts that are being connected to and were not named yet. asking counts questions that somebody is answering.
	dialling map[string]dial
	asking   int
	armed    bool
}

type dial struct {
	began time.Time
	most  time.Duration
}

// Dialling is told when connecting to a host begins, and how long it may take.
func (p *Patience) Dialling(host string, most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dialling == nil {
		p.dialling = map[string]dial{}
	}
	p.dialling[host] = dial{time.Now(), most}
	p.arm(longDial)
}

// Dialled is told when it has ended.
func (p *Patience) Dialled(host string, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dialling, host)
}

// During keeps quiet while ask talks with the user.
func (p *Patience) During(ask func()) {
	p.count(1)
	defer p.count(-1)
	ask()
}

func (p *Patience) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking += n
}

func (p *Patience) arm(after time.Duration) {
	if !p.armed {
		p.armed = true
		time.AfterFunc(after, p.look)
	}
}

// look names the hosts that are waited for by now.
func (p *Patience) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	var late []string
	most, next := time.Duration(0), longDial
	for host, d := range p.dialling {
		left := longDial - time.Since(d.began)
		switch {
		case left > 0:
			next = min(next, left)
		case p.asking == 0:
			late, most = append(late, host), max(most, d.most)
			delete(p.dialling, host)
		}
	}
	if len(late) > 0 {
		slices.Sort(late)
		p.Say(fmt.Sprintf("waiting for %s (at most %s) …", few(late), most))
	}
	if len(p.dialling) > 0 {
		p.arm(next)
	}
}
