package playbooks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
)

// NewPlan decides what a playbook does to the hosts of an inventory: hosts, batches, and each host's tasks with filled values. Every mistake
// is returned at once, as inventory.Problems; nothing is contacted.
func NewPlan(pb *Playbook, inv *inventory.Inventory, opt PlanOptions) (*Plan, error) {
	p := &planner{pb: pb, inv: inv, opt: opt, kinds: pb.kinds, said: map[inventory.Problem]*complaint{},
		plan: &Plan{Playbook: pb.Name, Inventory: inv, BestEffort: pb.BestEffort, LeaveOutUnreachable: pb.LeaveOutUnreachable, vars: map[string]map[string]any{}}}
	if p.kinds == nil {
		p.kinds = allKinds()
	}
	p.checkTags()
	p.checkVars()
	p.limit()
	p.failures()
	chosen := p.choose()
	for i := range chosen {
		p.play(&chosen[i])
	}
	p.finish()
	if problems := p.problems(); len(problems) > 0 {
		return nil, problems
	}
	return p.plan, nil
}

// planner fills one plan and collects mistakes.
type planner struct {
	pb    *Playbook
	inv   *inventory.Inventory
	opt   PlanOptions
	kinds kindTable
	plan  *Plan
	// only is the set of hosts that the limit leaves; nil: all. away: those that it takes away by name (!db2).
	only, away map[string]bool

	said  map[inventory.Problem]*complaint
	order []*complaint
}

// chosenPlay is a play with its hosts: those that it works on, and all that its pattern means.
type chosenPlay struct {
	play       *Play
	hosts, all []*inventory.Host
	// runs tells by task whether the tags choose it.
	runs []bool
	any  bool
}

// choose resolves every play's hosts and tags.
func (p *planner) choose() []chosenPlay {
	chosen := make([]chosenPlay, 0, len(p.pb.Plays))
	for i := range p.pb.Plays {
		play := &p.pb.Plays[i]
		c := chosenPlay{play: play, runs: make([]bool, len(play.Tasks))}
		for j := range play.Tasks {
			c.runs[j] = p.tagged(play, &play.Tasks[j])
			c.any = c.any || c.runs[j]
		}
		pattern, err := p.scope(play, nil).fill(play.Hosts)
		if err == nil {
			c.all, err = p.inv.Select(fmt.Sprint(pattern))
		}
		if err != nil {
			p.addf("", play.Lines["hosts"], "play %q: hosts: %v", play.Name, err)
		}
		for _, h := range c.all {
			if c.any && (p.only == nil || p.only[h.Name]) {
				c.hosts = append(c.hosts, h)
			}
		}
		// What several groups have in common may well be nothing.
		if err == nil && c.any && len(c.all) == 0 && !strings.Contains(play.Hosts, "&") {
			p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("play %q has no host here (%s)", play.Name, play.Hosts))
		}
		chosen = append(chosen, c)
	}
	return chosen
}

// play plans one play: batches and tasks by host.
func (p *planner) play(c *chosenPlay) {
	p.parentsFirst(c.hosts)
	planned := PlannedPlay{Name: c.play.Name, Related: c.play.WaitFor == "related", LookAgain: c.play.LookAgain, Tasks: make(map[string][]PlannedTask, len(c.hosts))}
	sizes := p.serial(c.play, len(c.hosts))
	if sizes[0] < len(c.hosts) {
		planned.Sizes = sizes
	}
	names := make([]string, len(c.hosts))
	for i, h := range c.hosts {
		names[i] = h.Name
		for j := range c.play.Tasks {
			task, ok := p.task(c.play, &c.play.Tasks[j], h)
			if ok && c.runs[j] {
				planned.Tasks[h.Name] = append(planned.Tasks[h.Name], task)
			}
		}
	}
	for len(names) > 0 {
		n := len(names)
		if !planned.Related {
			n = planned.size(len(planned.Batches)+1, n)
		}
		planned.Batches = append(planned.Batches, names[:n:n])
		names = names[n:]
	}
	if len(planned.Batches) > 0 {
		p.plan.Plays = append(p.plan.Plays, planned)
	}
}

// parentsFirst puts hosts that hold an authority after those that hold the one above it: the lower one waits for the upper one's signature.
func (p *planner) parentsFirst(hosts []*inventory.Host) {
	depth := map[string]int{}
	for _, a := range p.inv.Authorities {
		n := 0
		for up, ok := p.inv.Authorities[a.Issuer]; ok && n < len(p.inv.Authorities); up, ok = p.inv.Authorities[up.Issuer] {
			n++
		}
		depth[a.Host] = max(depth[a.Host], n)
	}
	slices.SortStableFunc(hosts, func(a, b *inventory.Host) int { return depth[a.Name] - depth[b.Name] })
}

// task fills and decodes one task for one host.
func (p *planner) task(play *Play, entry *TaskEntry, h *inventory.Host) (PlannedTask, bool) {
	out := PlannedTask{Kind: entry.Kind, Name: entry.Name, Values: entry.Values}
	kind, ok := p.kinds[entry.Kind]
	if !ok {
		p.addf("", entry.Line, "there is no kind of task %q%s", entry.Kind, tasks.Suggest(entry.Kind, p.kinds.names()))
		return out, false
	}
	if !hasRole(h, kind.Roles) {
		p.addf(h.Name, entry.Line, "%s is for hosts of role %s", entry.Kind, orList(kind.Roles))
		return out, false
	}
	if hasTemplate(entry.Values) {
		out.Values = make(map[string]any, len(entry.Values))
		s := p.scope(play, h)
		for _, name := range sortedKeys(entry.Values) {
			value, err := s.fill(entry.Values[name])
			if err != nil {
				p.addf(h.Name, entry.lineOf(name), "%s: %s: %v", entry.Kind, name, err)
				ok = false
			}
			out.Values[name] = value
		}
	}
	if !ok {
		return out, false
	}
	task, errs := tasks.Decode(kind, out.Values)
	for _, err := range errs {
		p.addf(h.Name, entry.lineOf(err.Param), "%s: %s", entry.Kind, err)
	}
	if len(errs) == 0 && !p.declared(task, entry, h) {
		return out, false
	}
	out.Task, out.Values = task, printable(out.Values)
	return out, len(errs) == 0
}

// declared tells whether the inventory has every authority that a task names.
func (p *planner) declared(task tasks.Task, entry *TaskEntry, h *inventory.Host) bool {
	relying, is := task.(tasks.Relying)
	if !is {
		return true
	}
	known, all := map[string]bool{}, true
	for name, a := range p.inv.Authorities {
		known[name] = true
		if a.Replaces != "" {
			known[a.Replaces] = true // whoever names the old one means its successor too
		}
	}
	relies := relying.Relies()
	for _, param := range slices.Sorted(maps.Keys(relies)) {
		for _, name := range relies[param] {
			if !known[name] {
				all = false
				p.addf(h.Name, entry.lineOf(param), "%s: %s: the inventory has no authority %q%s; there are: %s", entry.Kind, param, name,
					tasks.Suggest(name, known), listOr(sortedKeys(known), "none"))
			}
		}
	}
	return all
}

// printable gives values as they may be printed: the content of what is marked secret is not.
func printable(values map[string]any) map[string]any {
	if secret, _ := tasks.ParseBool(values["secret"]); !secret {
		return values
	}
	out := maps.Clone(values)
	if _, ok := out["content"]; ok {
		out["content"] = "(secret)"
	}
	return out
}

// finish gathers the hosts of the run, those that they depend on, and their variables.
func (p *planner) finish() {
	working := map[string]bool{}
	for _, play := range p.plan.Plays {
		for _, batch := range play.Batches {
			for _, name := range batch {
				working[name] = true
			}
		}
	}
	for _, h := range p.inv.Hosts {
		if working[h.Name] {
			p.plan.Hosts = append(p.plan.Hosts, h)
		}
	}
	var despite []string
	p.plan.Support, despite = p.inv.SupportWithout(p.plan.Hosts, p.away)
	for _, name := range despite {
		p.plan.Warnings = append(p.plan.Warnings, name+" is looked at all the same, and may have to sign: it holds an authority, and nothing can be judged without its certificates and lists")
	}
	for _, list := range [][]*inventory.Host{p.plan.Hosts, p.plan.Support} {
		for _, h := range list {
			p.plan.vars[h.Name] = p.hostVars(h)
		}
	}
	if len(p.plan.Hosts) == 0 && len(p.order) == 0 {
		p.addf("", 0, "nothing to do: no host is chosen%s", p.chosenBy())
	}
}
