package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

const keeperSocket = "keeper"

// request names hosts by short name.
type request struct {
	Ask   string
	Hosts []string
}

func (k *keeper) serve(l *net.UnixListener) error {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer c.Close()
			var q request
			if _, err := receiveMessage(c, &q); err != nil {
				return
			}
			var answer outcome
			if err := k.do(q); err != nil {
				answer.Error = err.Error()
			}
			answer.PIDs = k.pids()
			_ = sendMessage(c, answer)
		}()
	}
}

func (k *keeper) do(q request) error {
	if q.Ask == askStatus {
		return nil
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	hosts, err := k.named(q.Hosts)
	if err != nil {
		return err
	}
	switch q.Ask {
	case askStop:
		return k.stopAll(hosts)
	case askStart:
		return k.startAll(k.off(hosts), false)
	case askReset:
		if err := k.stopAll(hosts); err != nil {
			return err
		}
		for _, h := range hosts {
			k.forget(h)
		}
		return k.startAll(hosts, true)
	}
	return fmt.Errorf("unknown request %q", q.Ask)
}

func (k *keeper) named(names []string) ([]Host, error) {
	var hosts []Host
	for _, name := range names {
		found := false
		for _, h := range k.state.Hosts {
			if h.Short == name {
				hosts, found = append(hosts, h), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no host %q in lab %s", name, k.state.Name)
		}
	}
	return hosts, nil
}

// stopAll turns hosts off as a power cut does.
func (k *keeper) stopAll(hosts []Host) error {
	for _, h := range hosts {
		k.mu.Lock()
		r := k.hosts[h.Short]
		k.mu.Unlock()
		if r == nil {
			continue
		}
		// Only this process waits for it: it is that process, or ended already.
		_ = r.init.Process.Kill()
		<-r.gone
		// Else its dying network refuses connections for a moment, as a host that is on.
		_ = unplug(h)
	}
	return nil
}

// off are those of the hosts that do not run.
func (k *keeper) off(hosts []Host) []Host {
	k.mu.Lock()
	defer k.mu.Unlock()
	var off []Host
	for _, h := range hosts {
		if r := k.hosts[h.Short]; r != nil && r.pid == 0 {
			off = append(off, h)
		}
	}
	return off
}

// forget removes a host's layer; what is still held is freed with the last process that holds it.
func (k *keeper) forget(h Host) {
	k.mu.Lock()
	r := k.hosts[h.Short]
	delete(k.hosts, h.Short)
	k.mu.Unlock()
	if r != nil {
		os.RemoveAll(filepath.Join(k.layers.fs, r.layer))
		os.RemoveAll(filepath.Join(k.layers.fs, r.layer+".work"))
	}
}
