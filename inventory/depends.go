package inventory

import "strings"

// Dependencies gives the names of the hosts without which h cannot get what it needs, in inventory order and without h itself: for servers
// and clients every host that holds an authority, for a client also the servers that it uses, for the holder of an authority the holders of
// those above it. Offline and external authorities have no host.
func (inv *Inventory) Dependencies(h *Host) []string {
	need := map[string]bool{}
	inv.need(h, need)
	delete(need, h.Name)
	var out []string
	for _, other := range inv.Hosts {
		if need[other.Name] {
			out = append(out, other.Name)
		}
	}
	return out
}

// Support gives the hosts that the chosen ones depend on and that are not chosen themselves, in inventory order.
func (inv *Inventory) Support(chosen []*Host) []*Host {
	need := map[string]bool{}
	for _, h := range chosen {
		inv.need(h, need)
	}
	for _, h := range chosen {
		delete(need, h.Name)
	}
	var out []*Host
	for _, h := range inv.Hosts {
		if need[h.Name] {
			out = append(out, h)
		}
	}
	return out
}

// SupportWithout is Support where the user has taken hosts away by name: servers among them are left alone. A host that holds an authority cannot be
// done without; despite names those that are taken away and needed all the same.
func (inv *Inventory) SupportWithout(chosen []*Host, away map[string]bool) (support []*Host, despite []string) {
	for _, h := range inv.Support(chosen) {
		if away[h.Name] && !inv.holds(h) {
			continue
		}
		if away[h.Name] {
			despite = append(despite, h.Name)
		}
		support = append(support, h)
	}
	return support, despite
}

// holds tells whether a host has the key of an authority.
func (inv *Inventory) holds(h *Host) bool {
	for _, a := range inv.Authorities {
		if strings.EqualFold(a.Host, h.Name) {
			return true
		}
	}
	return false
}

func (inv *Inventory) need(h *Host, need map[string]bool) {
	consumer := h.HasRole("db_server") || h.HasRole("client")
	for _, a := range inv.Authorities {
		if consumer && a.Host != "" {
			need[a.Host] = true
		}
		if !strings.EqualFold(a.Host, h.Name) {
			continue
		}
		for up, ok := inv.Authorities[a.Issuer]; ok; up, ok = inv.Authorities[up.Issuer] {
			if up.Host != "" {
				need[up.Host] = true
			}
		}
	}
	if h.HasRole("client") {
		for _, s := range h.ConnectsTo {
			need[s] = true
		}
	}
}
