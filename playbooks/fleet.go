package playbooks

import (
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
)

// newFleet gives every host of the inventory as tasks see it. Views are empty; those of the run are filled by the look.
func newFleet(plan *Plan, run string, now time.Time, opt RunOptions) *tasks.Fleet {
	fleet := &tasks.Fleet{Hosts: make(map[string]*tasks.Host, len(plan.Inventory.Hosts)), Authorities: plan.Inventory.Authorities,
		Run: run, Now: now, CheckOnly: opt.Check, AcceptRefusals: opt.AcceptRefusals, Proofs: &tasks.Proofs{}, KeySecret: opt.KeySecret}
	for _, h := range plan.Inventory.Hosts {
		fleet.Hosts[h.Name] = newHost(h, fleet, plan.vars[h.Name])
	}
	fleet.UsedBy = usedBy(fleet)
	return fleet
}

// usedBy finds the clients of every server at once: searching for those of one server takes as long, and there may be a thousand.
func usedBy(fleet *tasks.Fleet) map[string][]*tasks.Host {
	out := map[string][]*tasks.Host{}
	for _, name := range sortedKeys(fleet.Hosts) {
		h := fleet.Hosts[name]
		if !h.HasRole("client") {
			continue
		}
		for _, server := range h.Servers {
			if list := out[server]; len(list) == 0 || list[len(list)-1] != h {
				out[server] = append(list, h)
			}
		}
	}
	return out
}

func newHost(h *inventory.Host, fleet *tasks.Fleet, vars map[string]any) *tasks.Host {
	if vars == nil {
		vars = h.Vars
	}
	out := &tasks.Host{Name: h.Name, Address: h.Address, Names: h.Names, Roles: h.Roles, Become: h.Target.Become, LoginUser: h.Target.User,
		Clusters: h.Clusters, Servers: h.ConnectsTo, Vars: vars, View: &tasks.View{}, Fleet: fleet}
	for _, id := range h.Identities {
		out.Identities = append(out.Identities, tasks.Identity{OSUser: id.OSUser, DBUser: id.DBUser, Databases: id.Databases,
			Home: id.Home, Default: id.Default, AllowPrivileged: id.AllowPrivileged, Password: id.Password, AfterChange: (*tasks.Command)(id.AfterChange), P12: id.P12, Replication: id.Replication})
	}
	return out
}
