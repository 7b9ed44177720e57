package tasks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// Announcer is a Verifier that can say beforehand how much it is going to do.
type Announcer interface {
	Verifier
	// Announce gives one line about the hosts of a batch, "" when there is nothing to say.
	Announce(hosts []*Host) string
}

// Announce tells how many connections a batch of clients is going to make. A client of which not enough is known is not counted.
func (v *verify) Announce(hosts []*Host) string {
	total, servers := 0, map[string]bool{}
	var open []string
	for _, h := range hosts {
		services, err := Services(h)
		if err != nil || v.Level == "none" {
			continue
		}
		for _, s := range services {
			if !v.concerns(h, s) {
				continue
			}
			key := s.Server + "/" + s.Cluster
			if !v.tlsOnly() && v.Enforce == "" && v.permissive(h, s) && !slices.Contains(open, s.Server) {
				open = append(open, s.Server)
			}
			n := v.connections(h, s, !servers[key])
			servers[key] = servers[key] || n > 0
			total += n
		}
	}
	if total == 0 {
		return ""
	}
	text := fmt.Sprintf("%s from %s to %s, at most %d clients at a server at a time", many(total, "test connection"), many(len(hosts), "client"),
		many(len(servers), "cluster"), gateWidth)
	if len(open) > 0 {
		slices.Sort(open)
		text += "; the rules of " + strings.Join(open, ", ") + " are permissive: nobody is refused there, and no refusal is tested"
	}
	return text
}

// permissive tells whether a server's rules ask for nothing.
func (v *verify) permissive(h *Host, s Service) bool {
	c, err := v.pair(h, s)
	return err == nil && c.stage == "permissive"
}

// many writes a number of things: "1 client", "2 clients".
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// connections counts the tests of one service; first: those that are made once a server are made here.
func (v *verify) connections(h *Host, s Service, first bool) int {
	c, err := v.pair(h, s)
	if err != nil || c.settled(v) || c.stage == postgres.Altered {
		return 0
	}
	n := len(c.logins(v))
	if v.tlsOnly() || c.stage == "permissive" {
		return n
	}
	if v.Level == "full" || first {
		n += len(c.refusals())
	}
	if v.Level == "full" {
		if show, err := v.toShow(h); err == nil {
			n += len(show) + 1
		}
	}
	return n
}
