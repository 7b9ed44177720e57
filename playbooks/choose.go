package playbooks

import (
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/inventory"
)

// selectHosts gives the hosts that a pattern means, in inventory order.
func selectHosts(inv *inventory.Inventory, pattern string) ([]*inventory.Host, error) {
	want := map[string]bool{}
	for _, part := range strings.Split(pattern, ",") {
		part = strings.TrimSpace(part)
		if names, ok := inv.Groups[part]; ok {
			for _, n := range names {
				want[n] = true
			}
			continue
		}
		if _, ok := inv.Host(part); !ok && part != "all" {
			return nil, fmt.Errorf("no host, role or group %q", part)
		}
		want[part] = true
	}
	var out []*inventory.Host
	for _, h := range inv.Hosts {
		if want[h.Name] || want["all"] {
			out = append(out, h)
		}
	}
	return out, nil
}

// dependencies gives the hosts that others depend on, in inventory order: holders of authorities, and the servers that a client uses.
func dependencies(inv *inventory.Inventory, hosts []*inventory.Host) []*inventory.Host {
	want := map[string]bool{}
	for _, h := range hosts {
		if len(dependsOn(inv, h)) > 0 {
			for _, name := range dependsOn(inv, h) {
				want[name] = true
			}
		}
	}
	var out []*inventory.Host
	for _, h := range inv.Hosts {
		if want[h.Name] {
			out = append(out, h)
		}
	}
	return out
}
