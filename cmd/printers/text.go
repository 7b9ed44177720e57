package printers

import (
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// text prints one line for each thing worth knowing, and a recap. On a terminal the live display stands below the lines.
type text struct {
	opt     Options
	display display
	recap   recap
	// play whose heading was printed; headed: what is printed next belongs to it.
	play   string
	header bool
}

// NewText is the printer for people.
func NewText(opt Options) Printer {
	return &text{opt: opt, display: startDisplay(opt), recap: recap{hosts: map[string]*hostLine{}}}
}

// Event prints what the event says, if it is worth a line.
func (t *text) Event(e events.Event) {
	t.display.event(e)
	t.recap.event(e)
	switch e.Type {
	case events.PlayStarted:
		t.header, t.play = false, e.Play
	case events.Task:
		t.task(e)
	case events.Host:
		t.host(e)
	case events.Notice:
		t.notice(e)
	case events.Lock:
		if e.Reason != "" {
			t.notice(e)
		}
	}
}

// heading prints the play's name once, before the first line that belongs to it (always with -v).
func (t *text) heading(play string) string {
	if play == "" || t.header && play == t.play {
		return ""
	}
	t.header, t.play = true, play
	return "\n" + t.opt.Style.paint(bold, Clean(play)) + "\n"
}

func (t *text) task(e events.Event) {
	if e.Kind == events.OK && !t.opt.Verbose {
		return
	}
	var b strings.Builder
	b.WriteString(t.heading(e.Play))
	fmt.Fprintf(&b, "  %s  %s\n", t.opt.Style.kind(e.Kind), subject(e))
	t.details(&b, e)
	t.print(b.String())
}

// host prints how a host ended when that is not told by its tasks: it was never reached, or skipped for another's sake.
func (t *text) host(e events.Event) {
	switch e.Kind {
	case events.OK, events.Changed, events.WouldChange:
		return
	}
	if t.recap.told[e.Host] {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s  %s\n", t.opt.Style.kind(e.Kind), subject(e))
	t.details(&b, e)
	t.print(b.String())
}

// subject is who and what: host [cluster] task: text.
func subject(e events.Event) string {
	who := Clean(e.Host)
	if e.Cluster != "" {
		who += " " + Clean(e.Cluster)
	}
	if e.Task != "" {
		who += "  " + Clean(e.Task)
	}
	said := oneLine(e.Summary)
	if e.Reason != "" && e.Reason != e.Summary {
		reason := oneLine(e.Reason)
		if said == "" {
			said = reason
		} else {
			said += " (" + reason + ")"
		}
	}
	if said == "" {
		return who
	}
	return who + "  " + said
}

func (t *text) details(b *strings.Builder, e events.Event) {
	const indent = "                "
	if e.Hint != "" {
		for i, l := range lines(e.Hint) {
			if i == 0 {
				l = "hint: " + l
			}
			b.WriteString(indent + t.opt.Style.paint(cyan, l) + "\n")
		}
	}
	if t.opt.Diff && e.Diff != "" {
		for _, l := range lines(e.Diff) {
			b.WriteString(strings.TrimRight("      "+t.opt.Style.diff(l), " ") + "\n")
		}
	}
}

func (t *text) notice(e events.Event) {
	said := oneLine(e.Summary)
	if e.Reason != "" && e.Reason != e.Summary {
		said = strings.TrimPrefix(said+": "+oneLine(e.Reason), ": ")
	}
	if e.Host != "" {
		said = Clean(e.Host) + ": " + said
	}
	line := t.opt.ErrStyle.paint(yellow, "notice:") + " " + said + "\n"
	if e.Hint != "" {
		line += t.opt.ErrStyle.paint(cyan, "hint:") + " " + oneLine(e.Hint) + "\n"
	}
	t.display.print(t.opt.Err, line)
}

func (t *text) print(s string) { t.display.print(t.opt.Out, s) }

// Finish ends the live display and prints the recap and what verification found.
func (t *text) Finish(end Ending) {
	t.display.close()
	t.recap.print(t.opt)
	if len(end.Cells) > 0 {
		fmt.Fprintln(t.opt.Out)
		Matrix(t.opt.Out, t.opt.Style, end.Cells, t.opt.Width)
	}
}
