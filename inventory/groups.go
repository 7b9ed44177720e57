package inventory

import (
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// group is a node in the tree of groups: one declared under groups, or a role.
type group struct {
	name     string
	line     int
	role     bool
	own      settings
	patterns []item
	children []item

	// direct members and, once resolved, all: indexes of hosts, in order. depth: longest way from a group without a parent.
	direct  map[int]bool
	members []int
	depth   int
	below   []*group
}

var groupKeys = []string{"hosts", "children", "vars"}

func (r *reader) readGroups(n *yaml.Node) {
	for _, e := range r.entries(n, "groups") {
		what := "groups." + e.key
		g := &group{name: e.key, line: e.line, direct: map[int]bool{}}
		switch {
		case e.key == "all":
			r.add(e.line, "groups: all means every host; its variables stand under the key vars at the top")
			continue
		case !groupRE.MatchString(e.key):
			r.add(e.line, "groups: %q: a group's name is letters, digits, _ and -", short(e.key))
			continue
		}
		for _, f := range r.entries(e.value, what) {
			switch f.key {
			case "hosts":
				g.patterns = r.list(f.value, what+".hosts", true)
			case "children":
				g.children = r.list(f.value, what+".children", true)
			case "vars":
				g.own = r.readVars(f.value, what+".vars")
			default:
				r.unknown(f, what, groupKeys)
			}
		}
		r.groups = append(r.groups, g)
	}
}

// resolveGroups adds the roles, fills every group's members and puts the groups in the order in which their variables are laid over
// one another: parents before children, then as in the file.
func (r *reader) resolveGroups(ix *index) {
	byName := map[string]*group{}
	for _, g := range r.groups {
		byName[g.name] = g
	}
	r.addRoles(byName)
	r.addMembers(byName, ix)
	for _, g := range r.groups {
		for _, c := range g.children {
			child := byName[c.text]
			if child == nil {
				r.add(c.line, "groups.%s.children: unknown group %q%s", g.name, short(c.text), suggest(c.text, keysOf(byName)))
				continue
			}
			g.below = append(g.below, child)
		}
	}
	if r.groupCycle() {
		return
	}
	for _, g := range r.groups {
		g.collect()
		if len(g.members) == 0 {
			kind, hint := "group", ""
			if g.role {
				kind, hint = "role", "; give it to hosts with the key roles"
			}
			r.add(g.line, "groups.%s: no host has this %s%s", g.name, kind, hint)
		}
	}
	for range r.groups { // settles in as many rounds as the tree is deep
		settled := true
		for _, g := range r.groups {
			for _, c := range g.below {
				if c.depth <= g.depth {
					c.depth, settled = g.depth+1, false
				}
			}
		}
		if settled {
			break
		}
	}
	sort.SliceStable(r.groups, func(i, j int) bool { return r.groups[i].depth < r.groups[j].depth })
}

// addRoles makes each role a group whose members are the hosts that have it.
func (r *reader) addRoles(byName map[string]*group) {
	for _, g := range r.groups {
		if contains(builtinRoles, g.name) {
			g.role = true
		}
	}
	for i, d := range r.hosts {
		for _, role := range d.Roles {
			g := byName[role]
			if g == nil {
				g = &group{name: role, line: d.Line, direct: map[int]bool{}}
				byName[role] = g
				r.groups = append(r.groups, g)
			}
			g.role = true
			g.direct[i] = true
		}
	}
	for _, g := range r.groups {
		if g.role && len(g.patterns)+len(g.children) > 0 {
			r.add(g.line, "groups.%s: is a role: hosts get it with their key roles, only vars can stand here", g.name)
			g.patterns, g.children = nil, nil
		}
	}
}

// addMembers puts hosts into the groups that name them and that they name.
func (r *reader) addMembers(byName map[string]*group, ix *index) {
	for i, d := range r.hosts {
		for _, ref := range d.groupRefs {
			g := byName[ref.text]
			switch {
			case g == nil:
				var known []string
				for _, g := range r.groups {
					if !g.role {
						known = append(known, g.name)
					}
				}
				r.add(ref.line, "%s.groups: group %q is not declared under groups%s", d.what, short(ref.text), suggest(ref.text, known))
			case g.role:
				r.add(ref.line, "%s.groups: %s is a role; list it under roles", d.what, g.name)
			default:
				g.direct[i] = true
			}
		}
	}
	for _, g := range r.groups {
		if ix.byName[strings.ToLower(g.name)] != nil {
			r.add(g.line, "groups.%s: a host has this name too", g.name)
		}
		for i, yes := range r.chooseList(ix, g.patterns, "groups."+g.name+".hosts") {
			if yes {
				g.direct[i] = true
			}
		}
	}
}

// groupCycle reports groups that contain themselves.
func (r *reader) groupCycle() bool {
	state := map[*group]int{} // 1: on the way, 2: done
	found := false
	var visit func(g *group, trail []string)
	visit = func(g *group, trail []string) {
		state[g] = 1
		trail = append(trail, g.name)
		for _, c := range g.below {
			switch state[c] {
			case 0:
				visit(c, trail)
			case 1:
				for trail[0] != c.name {
					trail = trail[1:]
				}
				r.add(c.line, "groups.%s.children: is a cycle: %s -> %s", c.name, strings.Join(trail, " -> "), c.name)
				found = true
			}
		}
		state[g] = 2
	}
	for _, g := range r.groups {
		if state[g] == 0 {
			visit(g, nil)
		}
	}
	return found
}

// collect fills members from the group and those below it.
func (g *group) collect() []int {
	if g.members != nil {
		return g.members
	}
	all := map[int]bool{}
	for i := range g.direct {
		all[i] = true
	}
	for _, c := range g.below {
		for _, i := range c.collect() {
			all[i] = true
		}
	}
	g.members = make([]int, 0, len(all))
	for i := range all {
		g.members = append(g.members, i)
	}
	sort.Ints(g.members)
	return g.members
}
