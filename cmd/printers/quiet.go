package printers

import (
	"fmt"
	"strings"
	"sync"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// quiet prints one line for each change on Out, and what went wrong on Err. A run that finds nothing to do prints nothing, so that it can be done by cron.
type quiet struct {
	opt     Options
	display display

	mu      sync.Mutex
	recap   recap
	changes int
}

// NewQuiet is the printer for runs that nobody watches.
func NewQuiet(opt Options) Printer {
	return &quiet{opt: opt, display: startDisplay(opt), recap: newRecap()}
}

// Dialled shows in the live display how far connecting has come.
func (l *quiet) Dialled(host string, err error) { l.display.dialled(host, err) }

// Event prints changes and warnings.
func (l *quiet) Event(e events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.display.event(e)
	l.recap.event(e)
	switch {
	case e.Type == events.Task && (e.Kind == events.Changed || e.Kind == events.WouldChange):
		l.changes++
		l.display.print(l.opt.Out, l.change(e))
	case e.Type == events.Notice && (e.Play == "" || e.Host != ""), e.Type == events.Lock && e.Reason != "":
		// How much a play is going to test is for those who watch.
		l.display.print(l.opt.Err, l.opt.notice(e))
	}
}

// change is the line of one change, with what differs below it if that is asked for.
func (l *quiet) change(e events.Event) string {
	b := l.opt.Style.paint(looks[e.Kind].sgr, word(e.Kind)) + " " + Clean(e.Host) + ": " + said(e) + "\n"
	if l.opt.Diff {
		for _, d := range lines(e.Diff) {
			b += strings.TrimRight(diffIndent+l.opt.Style.diff(d), " ") + "\n"
		}
	}
	return b
}

// Finish tells which hosts did not come through, and which connection tests differ.
func (l *quiet) Finish(end Ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.display.close()
	var b strings.Builder
	opt := l.opt
	opt.Out, opt.Style = &b, opt.ErrStyle
	if differing := differ(end.Cells); len(differing) > 0 {
		Matrix(&b, opt.Style, differing, opt.Width)
	}
	l.recap.told = nil // nothing was told of what went wrong
	l.recap.untold(opt)
	if l.changes == 0 && b.Len() == 0 && opt.Screen != nil {
		fmt.Fprintln(&b, "nothing is due")
	}
	l.display.print(opt.Err, strings.TrimPrefix(b.String(), "\n"))
}

// differ gives the tests that did not end as wanted.
func differ(cells []tasks.Cell) []tasks.Cell {
	var out []tasks.Cell
	for _, c := range cells {
		if !c.OK && !c.NotProven {
			out = append(out, c)
		}
	}
	return out
}
