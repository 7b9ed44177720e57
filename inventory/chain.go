package inventory

import (
	"strings"

	"github.com/pgfleet/pgfleet/inventory/sshconfig"
	"github.com/pgfleet/pgfleet/transport"
)

// jumps gives the bastions of a host: those that the inventory names, else those of the ssh_config. trail are the hosts for whose sake this
// is asked.
func (s *resolver) jumps(d *draft, a *sshconfig.Answer, trail []string) []transport.Target {
	if hops, ok := d.own.typed["ssh_jump"].([]hop); ok {
		return s.chain(hops, append(trail, strings.ToLower(d.Name)), place{s.r.file, d.jumpLine(), d.Name})
	}
	return s.configJumps(a, append(trail, strings.ToLower(d.Name)), d.Name)
}

// place is where a chain of bastions is written, and for which host of the inventory it is needed.
type place struct {
	file string
	line int
	host string
}

// configJumps follows ProxyJump of the ssh_config. A ProxyCommand is refused: to connect directly instead would be a surprise.
func (s *resolver) configJumps(a *sshconfig.Answer, trail []string, host string) []transport.Target {
	if v, ok := a.Command(); ok {
		s.notes.problem(v.File, v.Line, "ProxyCommand is not supported; use ProxyJump there, or ssh_jump in the inventory (none: connect directly)", host)
		return nil
	}
	texts := a.Jumps()
	for _, m := range a.Mistakes {
		s.notes.problem(m.File, m.Line, m.Text, host)
	}
	if len(texts) == 0 {
		return nil
	}
	v := a.Values["proxyjump"][0]
	var hops []hop
	for _, text := range texts {
		h, err := parseHop(strings.TrimSpace(text))
		if err != nil {
			s.notes.problem(v.File, v.Line, "ProxyJump: "+err.Error(), host)
			return nil
		}
		hops = append(hops, h)
	}
	return s.chain(hops, trail, place{v.File, v.Line, host})
}

// chain resolves bastions in order. As with ssh, the way to the first is what its own settings say; the others are reached through the one
// before them.
func (s *resolver) chain(hops []hop, trail []string, at place) []transport.Target {
	if len(hops) == 0 {
		return nil
	}
	key := ""
	for _, h := range hops {
		key += h.String() + ","
		if contains(trail, strings.ToLower(h.host)) {
			s.loop(trail, h.host, at)
			return nil
		}
	}
	out, known := s.chains[key]
	if !known {
		before := s.notes.count()
		for i, h := range hops {
			t, way := s.hop(h, i == 0, trail, at)
			out = append(append(out, way...), t)
		}
		if s.notes.count() > before {
			return nil
		}
		s.chains[key] = out
	}
	for _, t := range out {
		if contains(trail, strings.ToLower(t.Name)) {
			s.loop(trail, t.Name, at)
			return nil
		}
	}
	return out
}

func (s *resolver) loop(trail []string, again string, at place) {
	for len(trail) > 1 && trail[0] != strings.ToLower(again) {
		trail = trail[1:] // only the ring itself, whoever came upon it
	}
	way := append(append([]string(nil), trail...), again)
	s.notes.problem(at.file, at.line, "the jump hosts form a loop: "+strings.Join(way, " -> ")+"; a bastion needs ssh_jump: none of its own", at.host)
}

// hop resolves one bastion: as the host of that name in the inventory, else through the ssh_config. way are the bastions before it.
func (s *resolver) hop(h hop, first bool, trail []string, at place) (t transport.Target, way []transport.Target) {
	if d := s.r.named(h.host); d != nil {
		t, a := s.inventoryTarget(d, h)
		if first {
			way = s.jumps(d, a, trail)
		}
		t.Become = false
		return t, way
	}
	a := s.config.Resolve(sshconfig.Query{Host: h.host, User: h.user, Port: h.port, Jump: !first})
	t = s.fromConfig(a, h.host, "jump host "+h.host)
	if first {
		way = s.configJumps(a, append(trail, strings.ToLower(h.host)), at.host)
	}
	return t, way
}

// jumpLine is where ssh_jump stands for a host, 0 when at a level above it.
func (d *draft) jumpLine() int {
	if line, ok := d.own.lines["ssh_jump"]; ok {
		return line
	}
	return d.Line
}
