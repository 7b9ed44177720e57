package playbooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
)

// kindTable is the kinds of task that a playbook may name.
type kindTable map[string]tasks.Kind

// allKinds gives every kind of package tasks.
func allKinds() kindTable {
	table := kindTable{}
	for _, k := range tasks.Kinds() {
		table[k.Name] = k
	}
	return table
}

// names gives the set of kind names, for suggestions.
func (t kindTable) names() map[string]bool {
	out := make(map[string]bool, len(t))
	for name := range t {
		out[name] = true
	}
	return out
}

// Parse reads a playbook. Every mistake is returned at once, as inventory.Problems with file and line; nothing is contacted.
func Parse(file string, data []byte) (*Playbook, error) { return parse(file, data, allKinds()) }

func parse(file string, data []byte, kinds kindTable) (*Playbook, error) {
	p := &parser{file: file, kinds: kinds}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		p.addf(0, "is empty; a playbook has the keys name and plays")
		return nil, p.problems
	} else if err != nil {
		p.syntax(data, err)
		return nil, p.problems
	}
	if err := dec.Decode(&more); err == nil {
		p.addf(more.Line, "holds a second YAML document; one file is one playbook")
	} else if !errors.Is(err, io.EOF) {
		p.syntax(data, err)
	}
	root := doc.Content[0]
	p.tags(root)
	if root.Kind != yaml.MappingNode {
		p.addf(root.Line, "a playbook has the keys name, vars and plays at its top; the list of plays stands under plays")
		return nil, p.problems
	}
	pb := p.playbook(root)
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return pb, nil
}

// parser collects the mistakes of one file.
type parser struct {
	file     string
	kinds    kindTable
	problems inventory.Problems
	// nodes counts what aliases have been expanded to.
	nodes int
}

func (p *parser) addf(line int, format string, args ...any) {
	p.problems = append(p.problems, inventory.Problem{File: p.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// bareTemplate finds a value that begins with a template and is not in quotes, which YAML takes for a map.
var bareTemplate = regexp.MustCompile(`[:,\[] *\{\{`)

// syntax turns what the YAML library says of data into a problem.
func (p *parser) syntax(data []byte, err error) {
	hint := ""
	if bareTemplate.Match(data) {
		hint = " (a value that begins with a template stands in quotes: \"{{ name }}\")"
	}
	line, text := inventory.NotYAML(data, err)
	p.addf(line, "is not YAML, here or below: %s%s", text, hint)
}

// tags refuses !!binary, !vault and the like: what they stand for is not read, so it would be taken as it is written.
func (p *parser) tags(n *yaml.Node) {
	if n.Style&yaml.TaggedStyle != 0 {
		p.addf(n.Line, "%s: YAML tags are not supported; a text stands in quotes", n.Tag)
	}
	for _, c := range n.Content {
		p.tags(c)
	}
}

func (p *parser) playbook(n *yaml.Node) *Playbook {
	pb := &Playbook{File: p.file, Lines: map[string]int{}, kinds: p.kinds}
	p.keys(n, "playbook", map[string]func(*yaml.Node){
		"name":                  func(v *yaml.Node) { pb.Name = p.text(v, "name") },
		"vars":                  func(v *yaml.Node) { pb.Vars = p.vars(v, pb.Lines) },
		"max_failures":          func(v *yaml.Node) { pb.MaxFailures = p.maxFailures(v) },
		"best_effort":           func(v *yaml.Node) { pb.BestEffort = p.yesNo(v, "best_effort") },
		"leave_out_unreachable": func(v *yaml.Node) { pb.LeaveOutUnreachable = p.yesNo(v, "leave_out_unreachable") },
		"plays": func(v *yaml.Node) {
			for _, item := range p.list(v, "plays") {
				pb.Plays = append(pb.Plays, p.play(item))
			}
		},
	}, pb.Lines)
	if n.Kind == yaml.MappingNode {
		p.required(n, pb.Lines, "plays", "a playbook")
		p.twice(pb.Plays)
	}
	if pb.Name == "" {
		pb.Name = p.file
	}
	return pb
}

func (p *parser) play(n *yaml.Node) Play {
	play := Play{Line: n.Line, Lines: map[string]int{}}
	p.keys(n, "play", map[string]func(*yaml.Node){
		"name":   func(v *yaml.Node) { play.Name = p.text(v, "name") },
		"hosts":  func(v *yaml.Node) { play.Hosts = strings.Join(p.texts(v, "hosts"), ",") },
		"serial": func(v *yaml.Node) { play.Serial = p.serial(v) },
		"wait_for": func(v *yaml.Node) {
			if play.WaitFor = p.text(v, "wait_for"); play.WaitFor != "all" && play.WaitFor != "related" {
				p.addf(v.Line, "wait_for: %q is neither all nor related", play.WaitFor)
			}
		},
		"look_again": func(v *yaml.Node) { play.LookAgain = p.yesNo(v, "look_again") },
		"tags":       func(v *yaml.Node) { play.Tags = p.texts(v, "tags") },
		"vars":       func(v *yaml.Node) { play.Vars = p.vars(v, play.Lines) },
		"tasks": func(v *yaml.Node) {
			for _, item := range p.list(v, "tasks") {
				if entry, ok := p.task(item); ok {
					play.Tasks = append(play.Tasks, entry)
				}
			}
		},
	}, play.Lines)
	if n.Kind == yaml.MappingNode {
		p.required(n, play.Lines, "hosts", "a play")
		p.required(n, play.Lines, "tasks", "a play")
	}
	if play.Name == "" {
		play.Name = play.Hosts
	}
	return play
}

// twice reports plays of one name: events and tags of the command line call a play by its name.
func (p *parser) twice(plays []Play) {
	lines := map[string]int{}
	for _, play := range plays {
		if first, ok := lines[play.Name]; ok && play.Name != "" {
			p.addf(play.Line, "play %q has the name of the play in line %d; give each its own", play.Name, first)
			continue
		}
		lines[play.Name] = play.Line
	}
}

func (p *parser) maxFailures(n *yaml.Node) string {
	text := p.text(n, "max_failures")
	if !hasTemplate(text) {
		if _, err := parseMaxFailures(text); err != nil {
			p.addf(n.Line, "max_failures: %v", err)
		}
	}
	return text
}

func (p *parser) yesNo(n *yaml.Node, what string) bool {
	text := p.text(n, what)
	yes, ok := tasks.ParseBool(text)
	if !ok {
		p.addf(n.Line, "%s: %q is neither yes nor no", what, text)
	}
	return yes
}

func (p *parser) serial(n *yaml.Node) string {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.addf(n.Line, "serial: is an empty list; leave it out for one batch of all hosts")
	}
	text := strings.Join(p.texts(n, "serial"), ",")
	if !hasTemplate(text) {
		if _, err := batchSizes(text, 1); err != nil {
			p.addf(n.Line, "serial: %v", err)
		}
	}
	return text
}
