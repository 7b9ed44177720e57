package printers

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// Columns where the lines below a result stand.
const (
	hintIndent = "                "
	diffIndent = "      "
)

// text prints one line for each thing worth knowing, and a recap. On a terminal the live display stands below the lines.
type text struct {
	opt     Options
	display display

	mu    sync.Mutex
	recap recap
	// titles of plays that have begun; heading: the one that was printed last.
	titles  map[string]string
	heading string
	// began: something was printed.
	began bool
}

// NewText is the printer for people.
func NewText(opt Options) Printer {
	return &text{opt: opt, display: startDisplay(opt), recap: newRecap(), titles: map[string]string{}}
}

// Dialling shows in the live display which hosts are waited for.
func (t *text) Dialling(host string, most time.Duration) { t.display.dialling(host, most) }

// Dialled shows in the live display how far connecting has come.
func (t *text) Dialled(host string, err error) { t.display.dialled(host, err) }

// Event prints what the event says, if it is worth a line.
func (t *text) Event(e events.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.display.event(e)
	t.recap.event(e)
	switch e.Type {
	case events.PlayStarted:
		t.titles[e.Play] = title(e.Play, batch(e.Data))
		if t.opt.Verbose {
			t.print(t.headed(e.Play))
		}
	case events.Task:
		if e.Kind != events.OK || t.opt.Verbose {
			t.print(t.headed(e.Play) + t.task(e))
		}
	case events.Certificate:
		if t.opt.Verbose {
			t.print(t.headed(e.Play) + t.certificate(e))
		}
	case events.Notice:
		t.notice(e)
	case events.Lock:
		if e.Reason != "" {
			t.notice(e)
		}
	}
}

// headed gives the play's title where the lines above belong to something else, else "".
func (t *text) headed(play string) string {
	heading := t.titles[play]
	if heading == "" || heading == t.heading {
		return ""
	}
	t.heading = heading
	return "\n" + t.opt.Style.paint(bold, heading) + "\n"
}

// task is the line of one result, and what belongs to it.
func (t *text) task(e events.Event) string {
	who := Clean(e.Host)
	if e.Cluster != "" {
		who += " " + Clean(e.Cluster)
	}
	var b strings.Builder
	b.WriteString(t.result(e.Kind, who, Clean(e.Task), said(e)))
	b.WriteString(t.opt.hint(e.Hint))
	if t.opt.Diff {
		for _, l := range lines(e.Diff) {
			b.WriteString(strings.TrimRight(diffIndent+t.opt.Style.diff(l), " ") + "\n")
		}
	}
	return b.String()
}

// certificate is the line of one that was signed.
func (t *text) certificate(e events.Event) string {
	text := oneLine(e.Summary)
	if subject, ok := e.Data["subject"].(string); ok {
		text += ": " + oneLine(subject)
	}
	if end := date(e.Data["not_after"]); end != "" {
		text += ", until " + end
	}
	if serial, ok := e.Data["serial"].(string); ok {
		text += ", serial " + oneLine(serial)
	}
	return t.result(issued, Clean(e.Host), "", text)
}

// date reads a time of an event's data, which is a text when it came from JSON.
func date(v any) string {
	switch at := v.(type) {
	case time.Time:
		return at.Format(time.DateOnly)
	case string:
		if parsed, err := time.Parse(time.RFC3339, at); err == nil {
			return parsed.Format(time.DateOnly)
		}
	}
	return ""
}

// result is one line: outcome, host, task, text. On a terminal the text of what went well is cut at its edge (-v tells all); other text goes on
// below its beginning.
func (t *text) result(k events.Kind, who, task, text string) string {
	who, task = pad(who, t.opt.HostWidth), pad(task, t.opt.TaskWidth)
	if t.opt.Width > 0 && t.opt.TaskWidth > 0 && !bad(k) && !t.opt.Verbose {
		task = cut(task, t.opt.TaskWidth)
	}
	column := 2 + kindWidth + 2 + utf8.RuneCountInString(who) + 2 + utf8.RuneCountInString(task) + 2
	line := "  " + t.opt.Style.kind(k) + "  " + who + "  " + task + "  "
	room := t.opt.Width - column
	switch {
	case t.opt.Width == 0 || utf8.RuneCountInString(text) <= room:
		return strings.TrimRight(line+text, " ") + "\n"
	case !bad(k) && !t.opt.Verbose && room >= 20:
		return line + cut(text, room) + "\n"
	case room < 40:
		return strings.TrimRight(line, " ") + "\n" + hintIndent + strings.Join(wrap(text, max(20, t.opt.Width-len(hintIndent))), "\n"+hintIndent) + "\n"
	}
	return line + strings.Join(wrap(text, room), "\n"+strings.Repeat(" ", column)) + "\n"
}

// said is what an event has to say, on one line, without the task's name, which stands before it.
func said(e events.Event) string {
	summary, reason := oneLine(e.Summary), because(e.Kind, ofHost(e.Host, strings.TrimPrefix(oneLine(e.Reason), Clean(e.Task)+": ")))
	switch {
	case reason == "" || reason == summary:
		return summary
	case summary == "":
		return reason
	case bad(e.Kind):
		return reason + " (wanted: " + summary + ")"
	}
	return summary + " (" + reason + ")"
}

// ofHost is a reason without the host's name as a prefix, which stands before it.
func ofHost(host, reason string) string {
	name := Clean(host) + ": "
	return strings.Replace(strings.TrimPrefix(reason, name), ": "+name, ": ", 1)
}

// hint gives the lines of a hint below a result.
func (o *Options) hint(text string) string {
	var b strings.Builder
	var all []string
	for _, l := range lines(text) {
		if room := max(20, o.Width-len(hintIndent)-len("hint: ")); o.Width > 0 && utf8.RuneCountInString(l) > room {
			all = append(all, wrap(l, room)...)
		} else {
			all = append(all, l)
		}
	}
	for i, l := range all {
		if i == 0 {
			l = "hint: " + l
		} else {
			l = "      " + l
		}
		b.WriteString(hintIndent + o.Style.paint(cyan, l) + "\n")
	}
	return b.String()
}

// notice prints something that belongs to no task, on Err.
func (t *text) notice(e events.Event) { t.display.print(t.opt.Err, t.opt.notice(e)) }

// notice is the line of something that belongs to no task.
func (o *Options) notice(e events.Event) string {
	said := oneLine(e.Summary)
	if e.Reason != "" && e.Reason != e.Summary {
		said = strings.TrimPrefix(said+": "+oneLine(e.Reason), ": ")
	}
	if e.Host != "" && !strings.Contains(said, e.Host) {
		said = Clean(e.Host) + ": " + said
	}
	line := o.ErrStyle.paint(yellow, "notice:") + " " + said + "\n"
	if e.Hint != "" {
		line += o.ErrStyle.paint(cyan, "hint:") + " " + oneLine(e.Hint) + "\n"
	}
	return line
}

// print writes a part; what is printed first needs no empty line before it.
func (t *text) print(s string) {
	if !t.began {
		s = strings.TrimPrefix(s, "\n")
	}
	if s != "" {
		t.began = true
		t.display.print(t.opt.Out, s)
	}
}

// Finish ends the live display and prints the recap and what verification found.
func (t *text) Finish(end Ending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.display.close()
	var b strings.Builder
	opt := t.opt
	opt.Out = &b
	if len(end.Cells) > 0 {
		fmt.Fprintln(&b)
		Matrix(&b, opt.Style, end.Cells, opt.Width)
	}
	t.recap.print(opt)
	t.print(b.String())
}
