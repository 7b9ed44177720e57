package printers

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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
	// waiting are lines of the batch that is on, with their hosts: those of a server that is rolled back are not so any more at its end.
	waiting []hostChange
}

// hostChange is the line of one change.
type hostChange struct{ host, line string }

// NewQuiet is the printer for runs that nobody watches.
func NewQuiet(opt Options) Printer {
	return &quiet{opt: opt, display: startDisplay(opt), recap: newRecap()}
}

// Dialling shows in the live display which hosts are waited for.
func (l *quiet) Dialling(host string, most time.Duration) { l.display.dialling(host, most) }

// Dialled shows in the live display how far connecting has come.
func (l *quiet) Dialled(host string, err error) { l.display.dialled(host, err) }

// Event prints changes and warnings.
func (l *quiet) Event(e events.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.display.event(e)
	l.recap.event(e)
	switch {
	case e.Type == events.PlayStarted:
		l.flush()
	case e.Type == events.Task && e.Kind == events.RolledBack:
		l.waiting = slices.DeleteFunc(l.waiting, func(c hostChange) bool { return c.host == e.Host })
	case e.Type == events.Task && (e.Kind == events.Changed || e.Kind == events.WouldChange):
		l.waiting = append(l.waiting, hostChange{e.Host, l.change(e)})
	case e.Type == events.Notice && (e.Play == "" || e.Host != ""), e.Type == events.Lock && e.Reason != "":
		// How much a play is going to test is for those who watch.
		l.display.print(l.opt.Err, l.opt.notice(e))
	}
}

// flush prints the changes of a batch.
func (l *quiet) flush() {
	for _, c := range l.waiting {
		l.display.print(l.opt.Out, c.line)
	}
	l.changes += len(l.waiting)
	l.waiting = nil
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
	l.flush()
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
