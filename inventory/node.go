package inventory

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read gives the root mapping of the text, nil when there is none to work on.
func (r *reader) read(data []byte) *yaml.Node {
	if len(data) > maxFileBytes {
		r.add(0, "is larger than %d MiB", maxFileBytes>>20)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.add(0, "is empty; `pgfleet init` writes an inventory to start from")
			return nil
		}
		line, text := NotYAML(data, err)
		r.add(line, "is not YAML: %s", text)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		r.add(more.Line, "holds a second YAML document; one file is one inventory")
	} else if !errors.Is(err, io.EOF) {
		line, text := NotYAML(data, err)
		r.add(line, "is not YAML: %s", text)
	}
	root := doc.Content[0]
	r.refuse(root)
	if len(r.problems) > 0 {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		r.add(root.Line, "wants the keys vars, hosts, groups, authorities at its top; found %s", kindName(root))
		return nil
	}
	return root
}

// refuse reports what YAML can do and an inventory does not: anchors, aliases, merge keys, tags.
func (r *reader) refuse(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.add(n.Line, "*%s: aliases are not supported; use groups with vars to say a thing once", n.Value)
		return
	case n.Anchor != "":
		r.add(n.Line, "&%s: anchors are not supported; use groups with vars to say a thing once", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n.Line, "%s: YAML tags are not supported; secrets are references such as {env: NAME}", n.Tag)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == "<<" && c.Style == 0 {
			r.add(c.Line, "<<: merge keys are not supported; use groups with vars to say a thing once")
		}
		r.refuse(c)
	}
}

// entry is one key of a mapping.
type entry struct {
	key   string
	line  int
	value *yaml.Node
}

// entries gives a mapping's keys in order. Keys given twice are reported with both lines and left out. what names the mapping in
// messages. null counts as an empty mapping.
func (r *reader) entries(n *yaml.Node, what string) []entry {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, "%s: wants keys with values, found %s", what, kindName(n))
		return nil
	}
	first := map[string]int{}
	var out []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || isNull(key) {
			r.add(key.Line, "%s: a key must be a text, found %s", what, kindName(key))
			continue
		}
		if line, ok := first[key.Value]; ok {
			r.add(key.Line, "%s: %q is given twice, first in line %d", what, key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		out = append(out, entry{key.Value, key.Line, n.Content[i+1]})
	}
	return out
}

// text gives a scalar that is neither null nor empty.
func (r *reader) text(e entry, what string) (string, bool) {
	if e.value.Kind != yaml.ScalarNode || isNull(e.value) || e.value.Value == "" {
		r.add(e.value.Line, "%s: wants a text, found %s", what, kindName(e.value))
		return "", false
	}
	return e.value.Value, true
}

// item is one text of a list with its line.
type item struct {
	text string
	line int
}

// list gives the texts of a list; one text alone is a list of one, and is cut at commas outside brackets when commas is set.
func (r *reader) list(n *yaml.Node, what string, commas bool) []item {
	if n.Kind == yaml.ScalarNode && !isNull(n) && n.Value != "" {
		if !commas {
			return []item{{n.Value, n.Line}}
		}
		var out []item
		for _, part := range splitOutside(n.Value, ",") {
			out = append(out, item{part, n.Line})
		}
		return out
	}
	if n.Kind != yaml.SequenceNode {
		r.add(n.Line, "%s: wants a list, found %s", what, kindName(n))
		return nil
	}
	var out []item
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode || isNull(c) || c.Value == "" {
			r.add(c.Line, "%s: wants texts in its list, found %s", what, kindName(c))
			continue
		}
		out = append(out, item{c.Value, c.Line})
	}
	return out
}

// boolean reads true, yes, on and their opposites.
func (r *reader) boolean(n *yaml.Node, what string) (value, ok bool) {
	if n.Kind == yaml.ScalarNode {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			return true, true
		case "false", "no", "off":
			return false, true
		}
	}
	r.add(n.Line, "%s: wants true or false, found %s", what, kindName(n))
	return false, false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// kindName says what a node is, without its value: it may be a secret.
func kindName(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Value == "":
		return "an empty text"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "a text"
}

// plain turns a node into plain values: map[string]any, []any, string, int, float64, bool, nil. A number that is not written the
// plain way (0644, 0x10, 1_000) stays the text that the user wrote, so does a date.
func (r *reader) plain(n *yaml.Node, what string) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for _, e := range r.entries(n, what) {
			out[e.key] = r.plain(e.value, what+"."+e.key)
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			out = append(out, r.plain(c, what))
		}
		return out
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if v, err := strconv.Atoi(n.Value); err == nil && strconv.Itoa(v) == n.Value {
			return v
		}
	case "!!float":
		if v, err := strconv.ParseFloat(n.Value, 64); err == nil && strconv.FormatFloat(v, 'f', -1, 64) == n.Value {
			return v
		}
	}
	return n.Value
}
