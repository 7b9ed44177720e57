package printers

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// recap counts while a run goes on and prints one line a host at its end.
type recap struct {
	order []string
	hosts map[string]*hostLine
	// told: hosts with a task line that already says why they ended badly.
	told     map[string]bool
	started  time.Time
	finished time.Time
	run      string
}

// hostLine is what the recap knows of one host.
type hostLine struct {
	kind   events.Kind
	tasks  map[events.Kind]int
	reason string
	cost   string
}

func (r *recap) event(e events.Event) {
	if r.started.IsZero() {
		r.started, r.run = e.Time, e.Run
	}
	switch e.Type {
	case events.RunFinished:
		r.finished = e.Time
	case events.Task:
		h := r.host(e.Host)
		h.tasks[e.Kind]++
		if bad(e.Kind) {
			if r.told == nil {
				r.told = map[string]bool{}
			}
			r.told[e.Host] = true
		}
	case events.Host:
		h := r.host(e.Host)
		h.kind, h.reason, h.cost = e.Kind, e.Reason, cost(e.Data)
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

func (r *recap) host(name string) *hostLine {
	h, ok := r.hosts[name]
	if !ok {
		h = &hostLine{tasks: map[events.Kind]int{}}
		r.hosts[name] = h
		r.order = append(r.order, name)
	}
	return h
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
	if len(r.order) == 0 {
		return
	}
	fmt.Fprintln(opt.Out)
	t := r.table(opt)
	t.print(opt.Out, opt.Style)
	fmt.Fprintln(opt.Out)
	_, _ = io.WriteString(opt.Out, opt.Style.paint(bold, r.sum(opt))+"\n")
}

func (r *recap) table(opt Options) table {
	used := map[events.Kind]bool{events.OK: true, events.Changed: !opt.Check, events.WouldChange: opt.Check}
	for _, h := range r.hosts {
		for k := range h.tasks {
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
	for _, name := range r.order {
		h := r.hosts[name]
		row := []cell{plain(Clean(name)), {word(h.kind), looks[h.kind].sgr}}
		for _, k := range columns {
			if used[k] {
				row = append(row, number(h.tasks[k], k))
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
	parts := []string{count(len(r.order), "host")}
	for _, k := range columns {
		if ends[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", ends[k], word(k)))
		}
	}
	out := parts[0] + ": " + strings.Join(parts[1:], ", ")
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
