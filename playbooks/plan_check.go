package playbooks

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
)

// complaint is one problem and the hosts that have it.
type complaint struct {
	inventory.Problem
	hosts []string
}

// addf notes a problem; the same one on many hosts is told once. host "" means that it does not depend on the host.
func (p *planner) addf(host string, line int, format string, args ...any) {
	problem := inventory.Problem{File: p.pb.File, Line: line, Text: fmt.Sprintf(format, args...)}
	c, ok := p.said[problem]
	if !ok {
		c = &complaint{Problem: problem}
		p.said[problem] = c
		p.order = append(p.order, c)
	}
	if host != "" && (len(c.hosts) == 0 || c.hosts[len(c.hosts)-1] != host) {
		c.hosts = append(c.hosts, host)
	}
}

// problems gives what was noted, in the order in which it was found, with the hosts it is true of.
func (p *planner) problems() inventory.Problems {
	var out inventory.Problems
	for _, c := range p.order {
		switch len(c.hosts) {
		case 0:
		case 1:
			c.Text += fmt.Sprintf(" (host %s)", c.hosts[0])
		default:
			c.Text += fmt.Sprintf(" (host %s and %d more)", c.hosts[0], len(c.hosts)-1)
		}
		out = append(out, c.Problem)
	}
	return out
}

// tagged tells whether the tags choose a task: it or its play has one of them.
func (p *planner) tagged(play *Play, entry *TaskEntry) bool {
	if len(p.opt.Tags) == 0 {
		return true
	}
	for _, want := range p.opt.Tags {
		for _, list := range [][]string{play.Tags, entry.Tags} {
			for _, tag := range list {
				if tag == want {
					return true
				}
			}
		}
	}
	return false
}

// checkTags refuses a tag that nothing has.
func (p *planner) checkTags() {
	known := map[string]bool{}
	for _, play := range p.pb.Plays {
		for _, tag := range play.Tags {
			known[tag] = true
		}
		for _, entry := range play.Tasks {
			for _, tag := range entry.Tags {
				known[tag] = true
			}
		}
	}
	for _, tag := range p.opt.Tags {
		if !known[tag] {
			p.addf("", 0, "no play or task has the tag %q%s; there are: %s", tag, tasks.Suggest(tag, known), listOr(sortedKeys(known), "none"))
		}
	}
}

// checkVars refuses a variable of the command line that nothing uses or sets: it is a slip of the pen, and what was meant keeps its old value.
func (p *planner) checkVars() {
	if len(p.opt.Vars) == 0 {
		return
	}
	known := map[string]bool{"max_failures": true}
	learn := func(vars map[string]any) {
		for name := range vars {
			known[name] = true
		}
	}
	learn(p.pb.Vars)
	variablesIn(p.pb.Vars, known)
	for _, play := range p.pb.Plays {
		learn(play.Vars)
		variablesIn(play.Vars, known)
		variablesIn([]any{play.Hosts, play.Serial}, known)
		for _, entry := range play.Tasks {
			variablesIn(entry.Values, known)
		}
	}
	for _, h := range p.inv.Hosts {
		learn(h.Vars)
	}
	for _, name := range sortedKeys(p.opt.Vars) {
		if !known[name] {
			p.addf("", 0, "nothing uses the variable %q of the command line%s", name, tasks.Suggest(name, known))
		}
	}
}

// limit resolves -l.
func (p *planner) limit() {
	if p.opt.Limit == "" {
		return
	}
	p.only = map[string]bool{}
	hosts, err := p.inv.Select(p.opt.Limit)
	if err != nil {
		p.addf("", 0, "limit: %v", err)
	}
	for _, h := range hosts {
		p.only[h.Name] = true
	}
	p.away, _ = p.inv.TakenAway(p.opt.Limit) // what is wrong with it was said by Select
}

// chosenBy names what narrowed the choice, for the message that nothing is left.
func (p *planner) chosenBy() string {
	var by []string
	if p.opt.Limit != "" {
		by = append(by, fmt.Sprintf("limit %q", p.opt.Limit))
	}
	if len(p.opt.Tags) > 0 {
		by = append(by, "tags "+strings.Join(p.opt.Tags, ", "))
	}
	if len(by) == 0 {
		return " by the playbook's plays"
	}
	return " (" + strings.Join(by, ", ") + ")"
}

// failures fills the run's budget: option, command line, playbook.
func (p *planner) failures() {
	value, from := any(p.pb.MaxFailures), p.pb.Lines["max_failures"]
	if value == "" && p.pb.BestEffort {
		value = math.MaxInt32
	}
	if v, ok := p.opt.Vars["max_failures"]; ok {
		value, from = v, 0
	}
	if p.opt.MaxFailures != nil {
		value, from = *p.opt.MaxFailures, 0
	}
	filled, err := p.scope(&Play{}, nil).fill(value)
	if err == nil {
		p.plan.MaxFailures, err = parseMaxFailures(fmt.Sprint(filled))
	}
	if err != nil {
		p.addf("", from, "max_failures: %v", err)
	}
}

// serial gives the sizes of the batches of a play with so many hosts; the last one holds for all that follow.
func (p *planner) serial(play *Play, hosts int) []int {
	filled, err := p.scope(play, nil).fill(play.Serial)
	var sizes []int
	if list, ok := filled.([]any); ok && len(list) == 0 {
		err = errors.New("is an empty list; leave it out for one batch of all hosts")
	}
	if err == nil {
		sizes, err = batchSizes(serialText(filled), hosts)
	}
	if err != nil {
		p.addf("", play.Lines["serial"], "play %q: serial: %v", play.Name, err)
		return []int{max(hosts, 1)}
	}
	return sizes
}

// scope gives the variables that a template of a play sees; without a host, those that do not depend on one.
func (p *planner) scope(play *Play, h *inventory.Host) *scope {
	s := &scope{layers: []map[string]any{p.opt.Vars, play.Vars, p.pb.Vars}}
	if h != nil {
		s.layers = append(s.layers, h.Vars, map[string]any{"host": h.Name, "address": h.Address})
	}
	return s
}

// hostVars merges the variables of a host as tasks see them: inventory, playbook, command line. Those of a play are its own.
func (p *planner) hostVars(h *inventory.Host) map[string]any {
	s := p.scope(&Play{}, h)
	out := make(map[string]any, len(h.Vars)+len(p.pb.Vars))
	for _, layer := range []map[string]any{h.Vars, p.pb.Vars, p.opt.Vars} {
		for name := range layer {
			if _, done := out[name]; done {
				continue
			}
			// One that cannot be filled is left out: whoever uses it has been told, and a play may define what it lacks.
			if value, err := s.get(name); err == nil {
				out[name] = value
			}
		}
	}
	return out
}

func hasRole(h *inventory.Host, roles []string) bool {
	for _, role := range roles {
		if h.HasRole(role) {
			return true
		}
	}
	return len(roles) == 0
}

func orList(words []string) string { return strings.Join(words, " or ") }

func listOr(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}
