package playbooks

import (
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/tasks"
)

// maxNodes bounds what aliases of one file may expand to.
const maxNodes = 100_000

// keys walks a map whose keys are all known, and calls what belongs to each. Lines of the keys go to lines.
func (p *parser) keys(n *yaml.Node, what string, known map[string]func(*yaml.Node), lines map[string]int) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.addf(n.Line, "%s is not a map of keys to values", what)
		return
	}
	names := map[string]bool{}
	for name := range known {
		names[name] = true
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		if p.duplicate(seen, key, what) {
			continue
		}
		read, ok := known[key.Value]
		if !ok {
			p.addf(key.Line, "%s has no key %q%s", what, key.Value, tasks.Suggest(key.Value, names))
			continue
		}
		lines[key.Value] = key.Line
		read(value)
	}
}

// duplicate reports a key that is no text or was there before.
func (p *parser) duplicate(seen map[string]int, key *yaml.Node, what string) bool {
	if key.Kind != yaml.ScalarNode {
		p.addf(key.Line, "%s: a key is one text; a template must stand in quotes: \"{{ name }}\"", what)
		return true
	}
	if key.Tag == "!!merge" {
		p.addf(key.Line, "%s: merge keys (<<) are not read; write the keys out", what)
		return true
	}
	if first, ok := seen[key.Value]; ok {
		p.addf(key.Line, "%s: key %q is there twice, first in line %d", what, key.Value, first)
		return true
	}
	seen[key.Value] = key.Line
	return false
}

func (p *parser) required(n *yaml.Node, lines map[string]int, key, what string) {
	if _, ok := lines[key]; !ok {
		p.addf(n.Line, "%s needs the key %s", what, key)
	}
}

func (p *parser) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		p.addf(n.Line, "%s is not a list", what)
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		out[i] = resolve(item)
	}
	return out
}

func (p *parser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.addf(n.Line, "%s wants one text", what)
		return ""
	}
	return n.Value
}

// texts reads one text or a list of them.
func (p *parser) texts(n *yaml.Node, what string) []string {
	if n.Kind != yaml.SequenceNode {
		if s := p.text(n, what); s != "" {
			return []string{s}
		}
		return nil
	}
	var out []string
	for _, item := range n.Content {
		out = append(out, p.text(resolve(item), what))
	}
	return out
}

func (p *parser) vars(n *yaml.Node, lines map[string]int) map[string]any {
	at := map[string]int{}
	out := p.mapping(n, "vars", at)
	for name, line := range at {
		lines["vars."+name] = line
		if !variableName.MatchString(name) {
			p.addf(line, "variable %q: a name is letters, digits and _, and does not begin with a digit", name)
		}
	}
	return out
}

// mapping reads a map of plain values; lines, if not nil, gets the lines of its keys.
func (p *parser) mapping(n *yaml.Node, what string, lines map[string]int) map[string]any {
	out := map[string]any{}
	if n.Kind != yaml.MappingNode {
		p.addf(n.Line, "%s wants a map of names to values", what)
		return out
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if p.duplicate(seen, key, what) {
			continue
		}
		if lines != nil {
			lines[key.Value] = key.Line
		}
		out[key.Value] = p.value(n.Content[i+1], what)
	}
	return out
}

// value gives a node as nil, bool, int, float64, string, []any or map[string]any. A number that would not be written the same way
// again (0644, 1.10) stays the text that the user wrote.
func (p *parser) value(n *yaml.Node, what string) any {
	n = resolve(n)
	if p.nodes++; p.nodes > maxNodes {
		if p.nodes == maxNodes+1 {
			p.addf(n.Line, "%s: aliases expand to more than %d values", what, maxNodes)
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return p.mapping(n, what, nil)
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = p.value(item, what)
		}
		return out
	}
	return scalarValue(n)
}

func scalarValue(n *yaml.Node) any {
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		b, _ := tasks.ParseBool(n.Value)
		return b
	case "!!int":
		if i, err := strconv.Atoi(n.Value); err == nil && strconv.Itoa(i) == n.Value {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == n.Value {
			return f
		}
	}
	return n.Value
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
