package playbooks

import (
	"fmt"
	"strings"
)

// String prints the plan: plays, batches and tasks with their values. Hosts with the same tasks stand together; long texts are cut.
func (p *Plan) String() string {
	var b strings.Builder
	budget := fmt.Sprintf("max_failures: %d", p.MaxFailures)
	if p.BestEffort {
		budget = "best effort"
	}
	fmt.Fprintf(&b, "%s\nhosts: %d, %s\n", p.Playbook, len(p.Hosts), budget)
	if len(p.Support) > 0 {
		names := make([]string, len(p.Support))
		for i, h := range p.Support {
			names[i] = h.Name
		}
		fmt.Fprintf(&b, "looked at, because others depend on them: %s\n", strings.Join(names, " "))
	}
	for i, play := range p.Plays {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, play.Name)
		for j, batch := range play.Batches {
			if len(play.Batches) > 1 {
				fmt.Fprintf(&b, "   batch %d of %d: ", j+1, len(play.Batches))
			} else {
				b.WriteString("   hosts: ")
			}
			fmt.Fprintf(&b, "%s\n", strings.Join(batch, " "))
		}
		if begins := play.Begins(); begins != "" {
			fmt.Fprintf(&b, "   begins: %s\n", begins)
		}
		if play.LookAgain {
			b.WriteString("   each host is looked at anew\n")
		}
		for _, group := range play.groups() {
			if group.hosts != nil {
				fmt.Fprintf(&b, "   on %s:\n", strings.Join(group.hosts, " "))
			}
			b.WriteString(group.tasks)
		}
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", note)
	}
	return b.String()
}

// Begins says when a host begins a play that does not wait for all hosts to be through the plays before; "" for one that does.
func (p *PlannedPlay) Begins() string {
	switch {
	case !p.Related:
		return ""
	case p.Sizes != nil:
		sizes := strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Sizes), " ", ", "), "[]")
		return "each host when those that it has to do with are through the plays before, in batches of at most " + sizes
	}
	return "each host when those that it has to do with are through the plays before"
}

// group is hosts whose tasks read the same; hosts is nil when it is all of them.
type group struct {
	hosts []string
	tasks string
}

// groups puts hosts with the same tasks together, in the order of the batches.
func (p *PlannedPlay) groups() []*group {
	var out []*group
	index := map[string]*group{}
	for _, batch := range p.Batches {
		for _, name := range batch {
			var b strings.Builder
			for _, task := range p.Tasks[name] {
				fmt.Fprintf(&b, "   - %s\n", task)
			}
			g, ok := index[b.String()]
			if !ok {
				g = &group{tasks: b.String()}
				index[g.tasks] = g
				out = append(out, g)
			}
			g.hosts = append(g.hosts, name)
		}
	}
	if len(out) == 1 {
		out[0].hosts = nil
	}
	return out
}

// String gives kind, values and the user's name for a task on one line.
func (t PlannedTask) String() string {
	var b strings.Builder
	b.WriteString(t.Kind)
	for _, name := range sortedKeys(t.Values) {
		fmt.Fprintf(&b, " %s=%s", name, short(t.Values[name]))
	}
	if t.Name != "" {
		fmt.Fprintf(&b, "  # %s", t.Name)
	}
	return b.String()
}

// short writes a value on one line of at most 60 characters.
func short(v any) string {
	text := fmt.Sprint(v)
	if list, ok := v.([]any); ok {
		words := make([]string, len(list))
		for i, item := range list {
			words[i] = fmt.Sprint(item)
		}
		text = strings.Join(words, ",")
	}
	if strings.ContainsAny(text, " \n\t\"'") || text == "" {
		text = fmt.Sprintf("%q", text)
	}
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:59]) + "…"
	}
	return text
}
