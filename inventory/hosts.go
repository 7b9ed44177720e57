package inventory

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// roles that pgfleet itself gives a meaning; users may have others.
var builtinRoles = []string{"root_ca", "intermediate_ca", "db_server", "client"}

// draft is a host while the file is being read: what needs the other hosts is resolved later.
type draft struct {
	Host
	what      string // the entry it comes from, for messages: one mistake in a range is told once
	own       settings
	groupRefs []item
	roleRefs  []item
	// connects is nil when the key was not given.
	connects                               []item
	identitiesLine, clustersLine, addrLine int
	restricted                             bool // holds authorities in mode restricted
	// replicates: the role client is there for replication alone, and brings no variables.
	replicates bool
}

// hostEntry is one key under hosts: one host, or as many as its range stands for.
type hostEntry struct {
	r     *reader
	what  string
	line  int
	hosts []*draft
	vars  *entry
	own   settings
}

// hostKeys are the keys of a host besides the SSH settings.
var hostKeys = map[string]func(*hostEntry, entry){
	"address":     (*hostEntry).address,
	"names":       (*hostEntry).names,
	"roles":       (*hostEntry).roles,
	"groups":      (*hostEntry).groups,
	"clusters":    (*hostEntry).clusters,
	"connects_to": (*hostEntry).connectsTo,
	"identities":  (*hostEntry).identities,
	"vars":        func(h *hostEntry, e entry) { h.vars = &e },
}

// knownHostKeys are what an unknown key is compared with.
func knownHostKeys() []string { return append(keysOf(hostKeys), keysOf(settingReaders)...) }

func (r *reader) readHosts(n *yaml.Node) {
	first := map[string]int{}
	known := knownHostKeys()
	for _, e := range r.entries(n, "hosts") {
		names, err := Expand(e.key)
		if err != nil {
			r.add(e.line, "hosts: %v", err)
			continue
		}
		if len(r.hosts)+len(names) > maxHosts {
			r.add(e.line, "hosts: more than %d hosts", maxHosts)
			return
		}
		entry := &hostEntry{r: r, what: "hosts." + e.key, line: e.line}
		for _, name := range names {
			if line, ok := first[strings.ToLower(name)]; ok {
				r.add(e.line, "hosts: %s is given twice, first in line %d", name, line)
				continue
			}
			if err := checkHost(name); err != nil {
				r.add(e.line, "hosts: %v", err)
				break
			}
			first[strings.ToLower(name)] = e.line
			entry.hosts = append(entry.hosts, &draft{what: entry.what,
				Host: Host{Name: name, Address: address(name, false), Line: e.line}})
		}
		if len(entry.hosts) < len(names) {
			continue // already reported; pairing ranges would only confuse
		}
		entry.read(e.value, known)
		r.hosts = append(r.hosts, entry.hosts...)
	}
}

// read fills every host of the entry.
func (h *hostEntry) read(n *yaml.Node, known []string) {
	for _, e := range h.r.entries(n, h.what) {
		read, ok := hostKeys[e.key]
		_, setting := settingReaders[e.key]
		switch {
		case ok:
			read(h, e)
		case setting:
			h.r.readVar(&h.own, e, h.what)
		default:
			h.r.unknown(e, h.what, known)
		}
	}
	own := h.own
	if h.vars != nil {
		own = h.r.readVars(h.vars.value, h.what+".vars")
		for name := range h.own.vars {
			if line, ok := own.lines[name]; ok {
				h.r.add(line, "%s.vars.%s: is given twice, also as %s in line %d", h.what, name, name, h.own.lines[name])
			}
		}
		own.over(h.own)
	}
	for _, d := range h.hosts {
		d.own = own
	}
}

// paired gives one text for each host of the entry: a range in text pairs up with the name's range, text without one is for all.
func (h *hostEntry) paired(it item, what string) ([]string, bool) {
	if !hasRange(it.text) {
		out := make([]string, len(h.hosts))
		for i := range out {
			out[i] = it.text
		}
		return out, true
	}
	out, err := Expand(it.text)
	switch {
	case err != nil:
		h.r.add(it.line, "%s: %v", what, err)
	case len(out) != len(h.hosts):
		h.r.add(it.line, "%s: the range of %q stands for %d texts, the host's name for %d; they must pair up", what, it.text, len(out), len(h.hosts))
	default:
		return out, true
	}
	return nil, false
}

func (h *hostEntry) address(e entry) {
	what := h.what + ".address"
	text, ok := h.r.text(e, what)
	if !ok {
		return
	}
	all, ok := h.paired(item{text, e.value.Line}, what)
	if !ok {
		return
	}
	for i, a := range all {
		a = address(a, hasRange(text))
		if err := checkHost(a); err != nil {
			h.r.add(e.value.Line, "%s: %v", what, err)
			return
		}
		h.hosts[i].Address, h.hosts[i].addrLine = a, e.value.Line
	}
}

func (h *hostEntry) names(e entry) {
	what := h.what + ".names"
	for _, it := range h.r.list(e.value, what, true) {
		all, ok := h.paired(it, what)
		if !ok {
			continue
		}
		for i, name := range all {
			name = address(name, hasRange(it.text))
			if err := checkName(name); err != nil {
				h.r.add(it.line, "%s: %v", what, err)
				break
			}
			h.hosts[i].Names = append(h.hosts[i].Names, name)
		}
	}
}

func (h *hostEntry) roles(e entry) {
	what := h.what + ".roles"
	var roles []string
	items := h.unique(h.r.list(e.value, what, true), what)
	for _, it := range items {
		switch hint := suggest(it.text, builtinRoles); {
		case !groupRE.MatchString(it.text):
			h.r.add(it.line, "%s: %q: a role's name is letters, digits, _ and -", what, short(it.text))
		case hint != "" && !contains(builtinRoles, it.text):
			h.r.add(it.line, "%s: unknown role %q%s (a role of your own needs a name less like that)", what, it.text, hint)
		case it.text == "all":
			h.r.add(it.line, "%s: all means every host and cannot be a role", what)
		default:
			roles = append(roles, it.text)
		}
	}
	for _, d := range h.hosts {
		d.Roles, d.roleRefs = roles, items
	}
}

func (h *hostEntry) groups(e entry) {
	items := h.unique(h.r.list(e.value, h.what+".groups", true), h.what+".groups")
	for _, d := range h.hosts {
		d.groupRefs = items
	}
}

func (h *hostEntry) clusters(e entry) {
	what := h.what + ".clusters"
	var out []string
	for _, it := range h.unique(h.r.list(e.value, what, true), what) {
		if !clusterRE.MatchString(it.text) {
			h.r.add(it.line, "%s: %q is no cluster; write <major version>/<name>, for example 15/main", what, short(it.text))
			continue
		}
		out = append(out, it.text)
	}
	for _, d := range h.hosts {
		d.Clusters, d.clustersLine = out, e.line
	}
}

func (h *hostEntry) connectsTo(e entry) {
	items := []item{}
	if e.value.Kind != yaml.SequenceNode || len(e.value.Content) > 0 {
		items = append(items, h.r.list(e.value, h.what+".connects_to", true)...)
	}
	for _, d := range h.hosts {
		d.connects = items
	}
}

// unique reports texts given twice and leaves the second out.
func (h *hostEntry) unique(items []item, what string) []item {
	seen := map[string]bool{}
	var out []item
	for _, it := range items {
		if seen[it.text] {
			h.r.add(it.line, "%s: %s is given twice", what, it.text)
			continue
		}
		seen[it.text] = true
		out = append(out, it)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
