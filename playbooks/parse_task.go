package playbooks

import (
	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/tasks"
)

// task reads one entry: the kind's name with its parameters, besides name and tags.
func (p *parser) task(n *yaml.Node) (TaskEntry, bool) {
	entry := TaskEntry{Line: n.Line, Lines: map[string]int{}}
	if n.Kind == yaml.ScalarNode && p.kinds[n.Value].New != nil {
		p.addf(n.Line, "%s lacks a colon: write %s: {}", n.Value, n.Value)
		return entry, false
	}
	if n.Kind != yaml.MappingNode {
		p.addf(n.Line, "a task is a map with the name of its kind as key, for example: certificate: {issuer: servers}")
		return entry, false
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		if p.duplicate(seen, key, "task") {
			continue
		}
		switch key.Value {
		case "name":
			entry.Name = p.text(value, "name")
		case "tags":
			entry.Tags = p.texts(value, "tags")
		default:
			p.kind(&entry, key, value)
		}
	}
	if entry.Kind == "" {
		p.addf(n.Line, "task names no kind; add one of the kinds of task as key, for example: certificate: {issuer: servers}")
	}
	return entry, entry.Kind != ""
}

// kind reads the key that names the kind and the parameters under it.
func (p *parser) kind(entry *TaskEntry, key, value *yaml.Node) {
	kind, known := p.kinds[key.Value]
	switch {
	case entry.Kind != "" && !known:
		p.addf(key.Line, "task has no key %q: beside its kind, %s, it has name and tags, and nothing else%s", key.Value, entry.Kind,
			tasks.Suggest(key.Value, map[string]bool{"name": true, "tags": true}))
		return
	case entry.Kind != "":
		p.addf(key.Line, "a task has one kind: %s stands beside %s; put it in an entry of its own", key.Value, entry.Kind)
		return
	case !known:
		names := p.kinds.names()
		names["name"], names["tags"] = true, true
		p.addf(key.Line, "there is no kind of task %q%s", key.Value, tasks.Suggest(key.Value, names))
		entry.Kind = key.Value
		return
	}
	entry.Kind = key.Value
	entry.Line = key.Line
	entry.Values = map[string]any{}
	if value.Tag == "!!null" {
		value = &yaml.Node{Kind: yaml.MappingNode, Line: key.Line}
	}
	before := len(p.problems)
	entry.Values = p.mapping(value, entry.Kind, entry.Lines)
	if len(p.problems) == before {
		p.params(kind, entry)
	}
}

// params refuses what can be refused before variables are known: all of a task without templates, else names and missing ones.
func (p *parser) params(kind tasks.Kind, entry *TaskEntry) {
	if !hasTemplate(entry.Values) {
		_, errs := tasks.Decode(kind, entry.Values)
		for _, err := range errs {
			p.addf(entry.lineOf(err.Param), "%s: %s", entry.Kind, err)
		}
		return
	}
	known, rest := map[string]bool{}, false
	for _, param := range tasks.Params(kind) {
		if param.Rest {
			rest = true
			continue
		}
		known[param.Name] = true
		if _, given := entry.Values[param.Name]; param.Required && !given {
			p.addf(entry.Line, "%s: %s: is required: %s", entry.Kind, param.Name, param.Doc)
		}
	}
	for _, name := range sortedKeys(entry.Values) {
		if !known[name] && !rest {
			p.addf(entry.lineOf(name), "%s: %s: is not a parameter of %s%s", entry.Kind, name, entry.Kind, tasks.Suggest(name, known))
		}
	}
}

// lineOf gives the line of a parameter, or the task's when it was not written.
func (e *TaskEntry) lineOf(param string) int {
	if line, ok := e.Lines[param]; ok {
		return line
	}
	return e.Line
}
