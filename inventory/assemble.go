package inventory

import (
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// assemble puts the drafts together: members of groups, variables by precedence, servers of clients, SSH targets.
func (r *reader) assemble() *Inventory {
	inv := &Inventory{File: r.file, Groups: map[string][]string{}, Authorities: map[string]pki.Authority{}}
	for _, d := range r.hosts {
		inv.Hosts = append(inv.Hosts, &d.Host)
	}
	r.replicating()
	ix := newIndex(inv.Hosts)
	for _, d := range r.hosts {
		for _, role := range d.Roles {
			ix.addTo(role, d.Name)
		}
	}
	for _, role := range builtinRoles {
		ix.know(role)
	}
	r.resolveGroups(ix)
	for _, g := range r.groups {
		ix.know(g.name)
		for _, i := range g.members {
			inv.Groups[g.name] = append(inv.Groups[g.name], r.hosts[i].Name)
			ix.groups[g.name][i] = true
			if !g.role {
				r.hosts[i].Groups = append(r.hosts[i].Groups, g.name)
			}
		}
	}
	inv.index = ix
	r.mergeVars()
	r.checkAuthorities()
	r.restricted()
	for _, a := range r.authorities {
		inv.Authorities[a.Name] = a.Authority
	}
	r.resolveServers(ix)
	r.checkRoles()
	inv.Warnings = r.targets()
	return inv
}

// mergeVars lays the levels over one another: all, groups (parents first), host, command line.
func (r *reader) mergeVars() {
	over := r.commandLine()
	merged := make([]settings, len(r.hosts))
	for i := range merged {
		merged[i].over(r.vars)
	}
	for _, g := range r.groups {
		for _, i := range g.members {
			if g.name != "client" || !r.hosts[i].replicates {
				merged[i].over(g.own)
			}
		}
	}
	for i, d := range r.hosts {
		merged[i].over(d.own)
		merged[i].over(over)
		d.own = merged[i]
		d.Vars = merged[i].vars
		if d.Vars == nil {
			d.Vars = map[string]any{}
		}
		d.SudoPassword, _ = merged[i].typed["sudo_password"].(map[string]any)
	}
}

// resolveServers fills ConnectsTo of every client. Clients that say the same share one slice.
func (r *reader) resolveServers(ix *index) {
	known := map[string][]string{}
	for _, d := range r.hosts {
		items := d.connects
		switch {
		case !d.HasRole("client"):
			if items != nil {
				r.add(d.Line, "%s.connects_to: only a host with the role client connects to servers", d.what)
			}
			continue
		case items == nil:
			items = []item{{"db_server", d.Line}}
		}
		var key strings.Builder
		for _, it := range items {
			key.WriteString(it.text + ",")
		}
		names, ok := known[key.String()]
		if !ok {
			before := len(r.problems)
			names = r.servers(ix, items, d.connects == nil)
			if len(r.problems) == before {
				known[key.String()] = names
			}
		}
		d.ConnectsTo = names
	}
}

// servers gives the names of the hosts that items mean, in inventory order.
func (r *reader) servers(ix *index, items []item, byDefault bool) []string {
	before := len(r.problems)
	var names []string
	for i, yes := range r.chooseList(ix, items, "connects_to") {
		if !yes {
			continue
		}
		if !r.hosts[i].HasRole("db_server") {
			r.add(items[0].line, "connects_to: %s has no role db_server", r.hosts[i].Name)
		}
		names = append(names, r.hosts[i].Name)
	}
	if len(names) == 0 && len(items) > 0 && !byDefault && len(r.problems) == before {
		r.add(items[0].line, "connects_to: no host is meant")
	}
	return names
}

// checkRoles reports what a host says but its roles cannot use.
func (r *reader) checkRoles() {
	for _, d := range r.hosts {
		if len(d.Identities) > 0 && !d.HasRole("client") {
			r.add(d.identitiesLine, "%s.identities: only a host with the role client has identities", d.what)
		}
		if len(d.Clusters) > 0 && !d.HasRole("db_server") {
			r.add(d.clustersLine, "%s.clusters: only a host with the role db_server has clusters", d.what)
		}
	}
}
