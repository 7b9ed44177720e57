package printers

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// recap counts while a run goes on and prints one line a host at its end.
type recap struct {
	started, finished time.Time
	// hosts that have their result, in the order of the plan; tasks by host and outcome; told: the last reason that a task's line gave.
	hosts []hostLine
	tasks map[string]map[events.Kind]int
	told  map[string]string
}

// hostLine is the result of one host.
type hostLine struct {
	name, reason, hint, cost, stack string
	kind                            events.Kind
	support                         bool
}

func newRecap() recap {
	return recap{tasks: map[string]map[events.Kind]int{}, told: map[string]string{}}
}

func (r *recap) event(e events.Event) {
	if r.started.IsZero() {
		r.started = e.Time
	}
	switch e.Type {
	case events.RunFinished:
		r.finished = e.Time
	case events.Task:
		if r.tasks[e.Host] == nil {
			r.tasks[e.Host] = map[events.Kind]int{}
		}
		r.tasks[e.Host][e.Kind]++
		if e.Reason != "" {
			r.told[e.Host] = e.Reason
		}
	case events.Host:
		stack, _ := e.Data["stack"].(string)
		r.hosts = append(r.hosts, hostLine{e.Host, e.Reason, e.Hint, cost(e.Data), stack, e.Kind, e.Data["support"] == true})
	}
}

// bad tells whether an outcome needs somebody to look.
func bad(k events.Kind) bool {
	switch k {
	case events.Failed, events.Unreachable, events.Unverified, events.RolledBack, events.Interrupted:
		return true
	}
	return false
}

// cost writes what a host's connection cost, from the data of its event.
func cost(data map[string]any) string {
	if data["connections"] == nil {
		return ""
	}
	return fmt.Sprintf("connections %v, round trips %v, file batches %v", data["connections"], data["round_trips"], data["file_batches"])
}

// columns of the recap, each shown only when some host has a number in it.
var columns = []events.Kind{events.OK, events.Changed, events.WouldChange, events.Skipped, events.Failed, events.RolledBack, events.Unverified,
	events.Unreachable, events.Interrupted}

func (r *recap) print(opt Options) {
	if len(r.hosts) == 0 {
		return
	}
	r.untold(opt)
	fmt.Fprintln(opt.Out)
	t := r.table(opt)
	t.print(opt.Out, opt.Style)
	_, _ = io.WriteString(opt.Out, "\n"+opt.Style.paint(bold, r.sum(opt))+"\n")
}

// untold prints why hosts ended as they did where no task's line says it: never reached, skipped for another's sake, interrupted. Hosts with the
// same story share a line.
func (r *recap) untold(opt Options) {
	type story struct {
		kind         events.Kind
		reason, hint string
	}
	var order []story
	hosts := map[story][]string{}
	for _, h := range r.hosts {
		if h.reason == "" || r.told[h.name] == h.reason {
			continue
		}
		// What differs only in the host's name is one story.
		s := story{h.kind, because(h.kind, ofHost(h.name, strings.TrimPrefix(oneLine(h.reason), "connect: "))), h.hint}
		if hosts[s] == nil {
			order = append(order, s)
		}
		hosts[s] = append(hosts[s], h.name)
	}
	// Causes before their consequences.
	slices.SortStableFunc(order, func(a, b story) int { return severity(a.kind) - severity(b.kind) })
	for i, s := range order {
		if i == 0 {
			fmt.Fprintln(opt.Out)
		}
		fmt.Fprint(opt.Out, opt.story(s.kind, few(hosts[s]), s.reason)+opt.hint(s.hint))
	}
	for _, h := range r.hosts {
		for i, l := range lines(h.stack) {
			if i == 0 {
				fmt.Fprintf(opt.Err, "\n%s: stack of the internal error\n", Clean(h.name))
			}
			fmt.Fprintln(opt.Err, diffIndent+l)
		}
	}
}

// severity sorts what needs somebody to look before the rest.
func severity(k events.Kind) int {
	if bad(k) {
		return 0
	}
	return 1
}

// story is an outcome with its hosts and the reason, wrapped where the terminal is too narrow for one line.
func (o *Options) story(k events.Kind, hosts, reason string) string {
	line := "  " + o.Style.kind(k) + "  "
	if long := 2 + kindWidth + 2 + max(o.HostWidth, utf8.RuneCountInString(hosts)) + 2 + utf8.RuneCountInString(reason); o.Width == 0 || long <= o.Width {
		return line + pad(hosts, o.HostWidth) + "  " + reason + "\n"
	}
	room := max(20, o.Width-len(hintIndent))
	return line + strings.Join(append(wrap(hosts, room), wrap(reason, room)...), "\n"+hintIndent) + "\n"
}

// few names hosts, not more than six of them.
func few(names []string) string {
	if len(names) > 6 {
		return Clean(strings.Join(names[:5], ", ")) + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return Clean(strings.Join(names, ", "))
}

func (r *recap) table(opt Options) table {
	used := map[events.Kind]bool{events.OK: true, events.Changed: !opt.Check, events.WouldChange: opt.Check}
	for _, kinds := range r.tasks {
		for k := range kinds {
			used[k] = true
		}
	}
	t := table{header: []string{"host", "result"}}
	for _, k := range columns {
		if used[k] {
			t.header = append(t.header, word(k))
		}
	}
	if opt.Verbose {
		t.header = append(t.header, "cost")
	}
	for _, h := range r.hosts {
		result := word(h.kind)
		if h.support {
			result += " (support)"
		}
		row := []cell{plain(Clean(h.name)), {result, looks[h.kind].sgr}}
		for _, k := range columns {
			if used[k] {
				row = append(row, number(r.tasks[h.name][k], k))
			}
		}
		if opt.Verbose {
			row = append(row, plain(h.cost))
		}
		t.add(row...)
	}
	return t
}

func number(n int, k events.Kind) cell {
	if n == 0 {
		return cell{"0", faint}
	}
	return cell{fmt.Sprint(n), looks[k].sgr}
}

// sum is the last line: how many hosts ended how, and how long it took.
func (r *recap) sum(opt Options) string {
	ends := map[events.Kind]int{}
	for _, h := range r.hosts {
		ends[h.kind]++
	}
	var parts []string
	for _, k := range columns {
		if ends[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", ends[k], word(k)))
		}
	}
	out := Count(len(r.hosts), "host") + ": " + strings.Join(parts, ", ")
	if !r.finished.IsZero() {
		out += " in " + elapsed(r.finished.Sub(r.started))
	}
	if opt.Check {
		out += " (check only, nothing was applied)"
	}
	return out
}

// elapsed writes a time for people: 0.4s, 12s, 3m05s, 1h02m.
func elapsed(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
