package tasks

import (
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// A replacement that cannot go on because the successor is somebody else's, who has not answered yet, has not failed: it waits.

// awaitedLists gives what a client's servers wait for before they can believe an authority, nil when that is not why they do not.
func (h *Host) awaitedLists(profile pki.Profile, by *issuing) *WaitingError {
	missed := profile == pki.ProfileClient && slices.ContainsFunc(h.Servers, func(name string) bool {
		server := h.Fleet.Hosts[name]
		if server == nil {
			return false
		}
		beliefs, _ := server.serverBeliefs()
		return slices.ContainsFunc(beliefs, func(b belief) bool { return b.lists != nil && b.lacks(by.chain) != "" })
	})
	line, err := h.lineage(by.name)
	if !missed || err != nil {
		return nil
	}
	for _, l := range line {
		if _, err := l.newest(h); AsWaiting(err) != nil {
			return AsWaiting(err).softly()
		}
	}
	return nil
}

// awaitedCertificates gives what those wait for who are in the way of dropping authorities, nil when none of them has asked the successor for a certificate.
func (h *Host) awaitedCertificates(authorities, needed []string) (wait *WaitingError, err error) {
	for _, name := range authorities {
		gens := h.Fleet.Generations(name)
		next := h.Fleet.Authorities[gens[len(gens)-1]]
		if !next.Foreign() {
			continue
		}
		requests, err := desk.Desk{Dir: next.Desk}.Requests()
		if err != nil {
			return nil, err
		}
		for _, r := range requests {
			if slices.ContainsFunc(needed, func(who string) bool { return strings.HasPrefix(who, r.Host+" (") }) {
				wait = wait.also(&WaitingError{Authority: next.Name, What: []string{wanted(r.Template, r.Host)}, Soft: true})
			}
		}
	}
	return wait, nil
}
