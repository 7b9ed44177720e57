package printers

import (
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/playbooks"
)

// PlannedTask is one task of a plan in JSON.
type PlannedTask struct {
	Kind   string         `json:"kind"`
	Name   string         `json:"name,omitempty"`
	Values map[string]any `json:"values,omitempty"`
}

// PlannedPlay is one play of a plan in JSON: tasks by host.
type PlannedPlay struct {
	Name string `json:"name"`
	// WaitFor is "all" or "related".
	WaitFor string `json:"wait_for"`
	// LookAgain: each host is looked at anew when it begins the play.
	LookAgain bool `json:"look_again,omitempty"`
	// Serial: hosts in a batch, of the first, second, …; the last one holds for all that follow. None: all at once.
	Serial  []int                    `json:"serial,omitempty"`
	Batches [][]string               `json:"batches"`
	Tasks   map[string][]PlannedTask `json:"tasks"`
}

// PlanJSON is what plan -o json prints.
type PlanJSON struct {
	Playbook    string        `json:"playbook"`
	MaxFailures int           `json:"max_failures"`
	BestEffort  bool          `json:"best_effort,omitempty"`
	Hosts       []string      `json:"hosts"`
	Support     []string      `json:"support"`
	Plays       []PlannedPlay `json:"plays"`
}

// PlanDocument gives a plan in its JSON form.
func PlanDocument(plan *playbooks.Plan) PlanJSON {
	out := PlanJSON{Playbook: plan.Playbook, MaxFailures: plan.MaxFailures, BestEffort: plan.BestEffort, Hosts: []string{}, Support: []string{}, Plays: []PlannedPlay{}}
	for _, h := range plan.Hosts {
		out.Hosts = append(out.Hosts, h.Name)
	}
	for _, h := range plan.Support {
		out.Support = append(out.Support, h.Name)
	}
	for _, p := range plan.Plays {
		play := PlannedPlay{Name: p.Name, WaitFor: "all", LookAgain: p.LookAgain, Serial: p.Sizes, Batches: p.Batches, Tasks: map[string][]PlannedTask{}}
		if p.Related {
			play.WaitFor = "related"
		}
		for host, list := range p.Tasks {
			for _, t := range list {
				play.Tasks[host] = append(play.Tasks[host], PlannedTask{t.Kind, t.Name, t.Values})
			}
		}
		out.Plays = append(out.Plays, play)
	}
	return out
}

// Plan prints plays, batches and tasks. Tasks that are the same on all hosts of a play are printed once; verbose prints them host by host.
func Plan(out io.Writer, s Style, plan *playbooks.Plan, verbose bool) {
	fmt.Fprintf(out, "%s: %s", s.paint(bold, Clean(plan.Playbook)), Count(len(plan.Hosts), "host"))
	if n := len(plan.Support); n > 0 {
		support := make([]string, n)
		for i, h := range plan.Support {
			support[i] = h.Name
		}
		fmt.Fprintf(out, ", supported by %s", few(support))
	}
	if plan.BestEffort {
		fmt.Fprintln(out, ", best effort")
	} else {
		fmt.Fprintf(out, ", max_failures %d\n", plan.MaxFailures)
	}
	for i, p := range plan.Plays {
		fmt.Fprintf(out, "\n%s\n", s.paint(bold, fmt.Sprintf("[%d/%d] %s", i+1, len(plan.Plays), Clean(p.Name))))
		for j, batch := range p.Batches {
			label := "hosts"
			if len(p.Batches) > 1 {
				label = fmt.Sprintf("batch %d", j+1)
			}
			fmt.Fprintf(out, "  %s  %s\n", s.paint(faint, pad(label, 8)), strings.Join(batch, " "))
		}
		if begins := p.Begins(); begins != "" {
			fmt.Fprintf(out, "  %s  %s\n", s.paint(faint, pad("begins", 8)), begins)
		}
		planTasks(out, s, p, verbose)
	}
}

func planTasks(out io.Writer, s Style, p playbooks.PlannedPlay, verbose bool) {
	var hosts []string
	for _, b := range p.Batches {
		hosts = append(hosts, b...)
	}
	if !verbose && alike(p, hosts) {
		for _, t := range p.Tasks[hosts[0]] {
			fmt.Fprintf(out, "  %s  %s\n", s.paint(faint, pad("task", 8)), taskLine(t))
		}
		return
	}
	for _, h := range hosts {
		for _, t := range p.Tasks[h] {
			fmt.Fprintf(out, "  %s  %s  %s\n", s.paint(faint, pad("task", 8)), h, taskLine(t))
		}
	}
}

// alike tells whether every host of a play gets the same tasks with the same values.
func alike(p playbooks.PlannedPlay, hosts []string) bool {
	if len(hosts) == 0 {
		return false
	}
	first := p.Tasks[hosts[0]]
	for _, h := range hosts[1:] {
		other := p.Tasks[h]
		if len(other) != len(first) {
			return false
		}
		for i := range first {
			if first[i].Kind != other[i].Kind || first[i].Name != other[i].Name || !reflect.DeepEqual(first[i].Values, other[i].Values) {
				return false
			}
		}
	}
	return true
}

// taskLine is a task with its values in the order of their names.
func taskLine(t playbooks.PlannedTask) string {
	line := t.Kind
	if t.Name != "" && t.Name != t.Kind {
		line += " (" + Clean(t.Name) + ")"
	}
	keys := make([]string, 0, len(t.Values))
	for k := range t.Values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		line += "  " + k + "=" + value(t.Values[k])
	}
	return line
}

// value writes one value on one line, lists with commas.
func value(v any) string {
	switch x := v.(type) {
	case []any:
		parts := make([]string, len(x))
		for i := range x {
			parts[i] = value(x[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			keys[i] = k + ": " + value(x[k])
		}
		return "{" + strings.Join(keys, ", ") + "}"
	}
	text := fmt.Sprint(v)
	if strings.ContainsAny(text, "\n\r") {
		first, _, _ := strings.Cut(text, "\n")
		return fmt.Sprintf("%s… (%d bytes)", Clean(first), len(text))
	}
	return Clean(text)
}
