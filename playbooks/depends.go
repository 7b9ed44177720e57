package playbooks

import (
	"github.com/pgfleet/pgfleet/inventory"
)

// dependsOn names the hosts without which a host cannot get what it needs: for servers and clients every holder of an authority, for a
// holder those of the authorities above its own, for a client the servers that it uses.
func dependsOn(inv *inventory.Inventory, h *inventory.Host) []string {
	var out []string
	seen := map[string]bool{h.Name: true, "": true}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	consumer := h.HasRole("db_server") || h.HasRole("client")
	for _, name := range sortedKeys(inv.Authorities) {
		a := inv.Authorities[name]
		if consumer {
			add(a.Host)
			continue
		}
		if a.Host != h.Name {
			continue
		}
		for above, hops := a.Issuer, 0; above != "" && hops < len(inv.Authorities); hops++ {
			add(inv.Authorities[above].Host)
			above = inv.Authorities[above].Issuer
		}
	}
	if h.HasRole("client") {
		for _, server := range h.ConnectsTo {
			add(server)
		}
	}
	return out
}
