package printers

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// rowsMax bounds the list of what hosts are doing.
const rowsMax = 10

// longDial is how long connecting to a host may take before it is shown that the host is waited for.
const longDial = 2 * time.Second

// nameMin is the least of a play's place and name that is worth showing.
const nameMin = 20

// display is a screen with the picture of a run on it, or nothing where there is no terminal.
type display struct {
	screen *Screen
	live   *live
}

func startDisplay(opt Options) display {
	if opt.Screen == nil {
		return display{}
	}
	d := display{opt.Screen, newLive(opt.Shape, opt.ErrStyle)}
	d.screen.Start(d.live.frame)
	return d
}

func (d display) event(e events.Event) {
	if d.screen != nil {
		d.screen.Update(func() { d.live.event(e) })
	}
}

func (d display) dialling(host string, most time.Duration) {
	if d.screen != nil {
		d.screen.Update(func() {
			d.live.dialling[host] = activity{fmt.Sprintf("waiting for an answer, at most %s", most), d.screen.Now()}
		})
	}
}

func (d display) dialled(host string, err error) {
	if d.screen != nil {
		d.screen.Update(func() {
			delete(d.live.dialling, host)
			d.live.dialled[host] = err == nil
		})
	}
}

// print writes a line above the picture.
func (d display) print(w io.Writer, text string) {
	if d.screen != nil {
		d.screen.Print(w, text)
		return
	}
	_, _ = io.WriteString(w, text)
}

func (d display) close() {
	if d.screen != nil {
		d.screen.Close()
	}
}

// live is the picture of a run at this moment.
type live struct {
	shape   Shape
	style   Style
	started time.Time
	// batches: what is on of each play that has begun, "batch 2 of 4" or "".
	batches map[string]string
	// dialled: hosts that were tried, and whether they answered.
	dialled map[string]bool
	// dialling: hosts that are being connected to.
	dialling map[string]activity
	// hosts: how many there are to connect to.
	hosts int
	// done: finished tasks by play and host. ended: hosts that have their result. active: what each host does.
	done   map[string]map[string]int
	ended  map[string]events.Kind
	active map[string]activity
}

type activity struct {
	task  string
	since time.Time
}

func newLive(shape Shape, style Style) *live {
	return &live{shape: shape, style: style, batches: map[string]string{}, dialled: map[string]bool{}, dialling: map[string]activity{}, done: map[string]map[string]int{}, ended: map[string]events.Kind{}, active: map[string]activity{}}
}

func (l *live) event(e events.Event) {
	if l.started.IsZero() {
		l.started = e.Time
	}
	switch e.Type {
	case events.RunStarted:
		l.hosts = whole(e.Data["hosts"]) + whole(e.Data["support"])
	case events.PlayStarted:
		l.batches[e.Play] = batch(e.Data)
	case events.TaskStarted:
		l.active[e.Host] = activity{e.Task, e.Time}
	case events.Task:
		delete(l.active, e.Host)
		if l.done[e.Play] == nil {
			l.done[e.Play] = map[string]int{}
		}
		l.done[e.Play][e.Host]++
		if bad(e.Kind) || e.Kind == events.Skipped && e.Reason != "" {
			l.ended[e.Host] = e.Kind
		}
	case events.Host:
		delete(l.active, e.Host)
		l.ended[e.Host] = e.Kind
	}
}

// frame draws one line of progress and one for each host that works, the one that works longest first.
func (l *live) frame(now time.Time, width, height int) []string {
	out := []string{l.style.paint(bold, l.headline(now, width))}
	active := maps.Clone(l.active)
	for name, a := range l.dialling {
		if now.Sub(a.since) >= longDial {
			active[name] = a
		}
	}
	names := slices.Collect(maps.Keys(active))
	sort.Slice(names, func(i, j int) bool {
		a, b := active[names[i]], active[names[j]]
		if !a.since.Equal(b.since) {
			return a.since.Before(b.since)
		}
		return names[i] < names[j]
	})
	rows := min(height-1, rowsMax)
	more := 0
	if len(names) > rows {
		more = len(names) - rows + 1
		names = names[:max(0, rows-1)]
	}
	longest := 0
	for _, name := range names {
		longest = max(longest, len([]rune(Clean(name))))
	}
	for _, name := range names {
		a := active[name]
		row := fmt.Sprintf("  %s  %s  %s", pad(Clean(name), longest), Clean(a.task), stopwatch(now.Sub(a.since)))
		out = append(out, cut(row, width))
	}
	if more > 0 && rows > 0 {
		out = append(out, l.style.paint(faint, cut(fmt.Sprintf("  … and %s more", Count(more, "host")), width)))
	}
	return out
}

// headline: the play's place and name, how many of its hosts are through, tasks of the whole run, trouble, time. Where width is too small for all of
// it, the name is cut.
func (l *live) headline(now time.Time, width int) string {
	var parts []string
	total, through, open := 0, 0, false
	for i, p := range l.shape {
		hosts := 0
		for host, n := range p.Tasks {
			total += n
			done := min(l.done[p.Name][host], n)
			if _, over := l.ended[host]; over {
				done = n
			}
			through += done
			if done == n {
				hosts++
			}
		}
		// Plays may overlap: the first that is not through is shown, else the last.
		if batch, begun := l.batches[p.Name]; begun && !open {
			parts = []string{fmt.Sprintf("[%d/%d] %s", i+1, len(l.shape), title(p.Name, batch)), fmt.Sprintf("%d of %s", hosts, Count(len(p.Tasks), "host"))}
			open = hosts < len(p.Tasks)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("connecting  %d of %s", len(l.dialled), Count(l.hosts, "host")))
	} else {
		parts = append(parts, fmt.Sprintf("%d of %s", through, Count(total, "task")))
	}
	trouble := l.trouble()
	if trouble > 0 {
		parts = append(parts, fmt.Sprintf("%s in trouble", Count(trouble, "host")))
	}
	if !l.started.IsZero() {
		parts = append(parts, stopwatch(now.Sub(l.started)))
	}
	line := strings.Join(parts, "  ")
	over := utf8.RuneCountInString(line) - width
	if room := utf8.RuneCountInString(parts[0]) - over; over > 0 && room >= nameMin {
		parts[0] = cut(parts[0], room)
		line = strings.Join(parts, "  ")
	}
	return cut(line, width)
}

// trouble counts hosts that somebody has to look at.
func (l *live) trouble() int {
	n := 0
	for host, answered := range l.dialled {
		if !answered || bad(l.ended[host]) {
			n++
		}
	}
	return n
}

// batch writes which part of a play is on, "" when the play has only one. How many there are may not be known.
func batch(data map[string]any) string {
	number, all := whole(data["batch"]), whole(data["batches"])
	switch {
	case all > 1:
		return fmt.Sprintf("batch %d of %d", number, all)
	case all == 0 && number > 0:
		return fmt.Sprintf("batch %d", number)
	}
	return ""
}

// whole reads a number of an event's data, which is a float64 when it came from JSON.
func whole(v any) int {
	switch n := v.(type) {
	case int:
		return n
	case float64:
		return int(n)
	}
	return 0
}

// title is a play's name with its batch.
func title(play, batch string) string {
	if batch == "" {
		return Clean(play)
	}
	return Clean(play) + ", " + batch
}

// stopwatch writes a time that is running: 0:07, 12:34.
func stopwatch(d time.Duration) string {
	s := max(0, int(d.Seconds()))
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
