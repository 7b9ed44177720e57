package inventory

import (
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document reads the top of the file.
func (r *reader) document(root *yaml.Node) {
	sections := []struct {
		name string
		read func(*yaml.Node)
	}{
		{"vars", func(n *yaml.Node) { r.vars = r.readVars(n, "vars") }},
		{"hosts", r.readHosts},
		{"groups", r.readGroups},
		{"authorities", r.readAuthorities},
	}
	entries := r.entries(root, "inventory")
	byName := map[string]entry{}
	for _, e := range entries {
		byName[e.key] = e
	}
	var known []string
	for _, s := range sections {
		known = append(known, s.name)
		if e, ok := byName[s.name]; ok {
			s.read(e.value)
			delete(byName, s.name)
		}
	}
	for _, e := range byName {
		r.unknown(e, "inventory", known)
	}
	if len(r.hosts) == 0 && len(r.problems) == 0 {
		r.add(0, "has no hosts; list them under the key hosts")
	}
}

// unknown reports a key that has no meaning.
func (r *reader) unknown(e entry, what string, known []string) {
	hint := suggest(e.key, known)
	if hint == "" {
		sorted := append([]string(nil), known...)
		sort.Strings(sorted)
		hint = "; known are " + strings.Join(sorted, ", ")
	}
	r.add(e.line, "%s: unknown key %q%s", what, short(e.key), hint)
}
