package printers

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// terminal is a small one: lines, cursor, and the sequences that Screen writes. Anything else fails the test.
type terminal struct {
	t             *testing.T
	mu            sync.Mutex
	width, height int
	rows          [][]rune
	x, y          int
	hidden        bool
	writes        int
}

func newTerminal(t *testing.T, width, height int) *terminal {
	return &terminal{t: t, width: width, height: height, rows: [][]rune{nil}}
}

func (v *terminal) size() (int, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.width, v.height
}

// narrow makes the window narrower as terminals do: long lines flow into further rows.
func (v *terminal) narrow(width int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var rows [][]rune
	for i, r := range v.rows {
		if i == v.y {
			v.y = len(rows)
		}
		for len(r) > width {
			rows = append(rows, r[:width])
			r = r[width:]
		}
		rows = append(rows, r)
	}
	v.rows, v.width = rows, width
}

func (v *terminal) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes++
	for text := string(p); text != ""; {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			v.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r := []rune(text)[0]
		v.put(r)
		text = text[len(string(r)):]
	}
	return len(p), nil
}

func (v *terminal) control(args string, final byte) {
	n, _ := strconv.Atoi(args)
	switch {
	case final == 'A':
		v.y -= n
		if v.y < 0 || v.y < len(v.rows)-v.height {
			v.t.Errorf("the cursor left the window upwards: row %d of %d", v.y, len(v.rows))
			v.y = max(0, v.y)
		}
	case final == 'K' && args == "":
		v.rows[v.y] = v.rows[v.y][:min(v.x, len(v.rows[v.y]))]
	case final == 'J' && args == "":
		v.rows[v.y] = v.rows[v.y][:min(v.x, len(v.rows[v.y]))]
		v.rows = v.rows[:v.y+1]
	case args == "?25" && final == 'l':
		v.hidden = true
	case args == "?25" && final == 'h':
		v.hidden = false
	case final == 'm':
	default:
		v.t.Errorf("the terminal does not know ESC [ %s %c", args, final)
	}
}

func (v *terminal) put(r rune) {
	switch r {
	case '\n':
		v.x = 0
		if v.y++; v.y == len(v.rows) {
			v.rows = append(v.rows, nil)
		}
	case '\r':
		v.x = 0
	default:
		if v.x == v.width {
			v.put('\n')
		}
		row := v.rows[v.y]
		for len(row) <= v.x {
			row = append(row, ' ')
		}
		row[v.x] = r
		v.rows[v.y] = row
		v.x++
	}
}

// text is what the terminal shows, scrolled out rows included.
func (v *terminal) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, r := range v.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func newTestScreen(v *terminal) *Screen {
	return &Screen{Terminal: v, Size: v.size, Now: time.Now}
}

func see(t *testing.T, v *terminal, want string) {
	t.Helper()
	time.Sleep(redraw + time.Millisecond)
	synctest.Wait()
	if got := v.text(); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("the terminal shows\n%s\nwant\n%s", got, strings.TrimPrefix(want, "\n"))
	}
}

func TestLiveDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 60, 6)
		screen := newTestScreen(v)
		shape := Shape{{"Authorities", map[string]int{"ca1": 1}}, {"Servers offer TLS", map[string]int{"db1": 2, "db2": 2, "db3": 2, "db4": 2, "db5": 2}}}
		p := NewText(Options{Out: v, Err: v, Screen: screen, Shape: shape})
		begin := time.Now()
		tell := func(e events.Event) {
			e.Time = time.Now()
			p.Event(e)
		}
		tell(events.Event{Type: events.RunStarted, Data: map[string]any{"hosts": 5, "support": 1}})
		p.Dialled("ca1", nil)
		p.Dialled("db5", io.EOF)
		see(t, v, `
connecting  2 of 6 hosts  1 host in trouble  0:00
`)
		if !v.hidden {
			t.Error("the cursor is shown while the display is")
		}
		// Whom it waits for is shown when that takes long.
		p.Dialling("db1", 15*time.Second)
		time.Sleep(longDial)
		p.Dialling("db2", 15*time.Second)
		see(t, v, `
connecting  2 of 6 hosts  1 host in trouble  0:02
  db1  waiting for an answer, at most 15s  0:02
`)
		p.Dialled("db1", nil)
		p.Dialled("db2", nil)
		see(t, v, `
connecting  4 of 6 hosts  1 host in trouble  0:02
`)
		tell(events.Event{Type: events.PlayStarted, Play: "Authorities"})
		tell(events.Event{Type: events.Task, Play: "Authorities", Host: "ca1", Task: "authority", Kind: events.Changed, Summary: "create authority"})
		tell(events.Event{Type: events.PlayStarted, Play: "Servers offer TLS"})
		for i := 1; i <= 5; i++ {
			tell(events.Event{Type: events.TaskStarted, Play: "Servers offer TLS", Host: fmt.Sprintf("db%d", i), Task: "certificate"})
			time.Sleep(time.Second)
		}
		// Six rows: the last stays free, the first tells how far the run is, and what does not fit is counted.
		see(t, v, `
Authorities
  changed       ca1  authority  create authority
[2/2] Servers offer TLS  0 of 5 hosts  1 of 11 tasks  1 ho…
  db1  certificate  0:05
  db2  certificate  0:04
  db3  certificate  0:03
  … and 2 hosts more
`)
		// A narrower window: rows that had flowed over are taken away, too.
		v.height = 12
		v.narrow(24)
		see(t, v, `
Authorities
  changed       ca1  aut
hority  create authority
[2/2] Servers offer TL…
  db1  certificate  0:…
  db2  certificate  0:…
  db3  certificate  0:…
  db4  certificate  0:…
  db5  certificate  0:…
`)
		tell(events.Event{Type: events.Task, Play: "Servers offer TLS", Host: "db1", Task: "certificate", Kind: events.OK})
		p.Finish(Ending{})
		if v.hidden {
			t.Error("the cursor stays hidden")
		}
		see(t, v, `
Authorities
  changed       ca1  aut
hority  create authority
`)
		if n, most := v.writes, int(time.Since(begin)/redraw)+20; n > most {
			t.Errorf("%d writes in %s", n, time.Since(begin))
		}
		p.Finish(Ending{})
	})
}

// A burst of events is drawn once.
func TestLiveDisplayIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 80, 24)
		screen := newTestScreen(v)
		p := NewJSONL(Options{Out: io.Discard, Screen: screen})
		for range 10000 {
			p.Event(events.Event{Type: events.TaskStarted, Host: "db1", Task: "certificate", Time: time.Now()})
		}
		time.Sleep(3*redraw + time.Millisecond)
		synctest.Wait()
		if v.writes > 3 {
			t.Errorf("%d writes", v.writes)
		}
		p.Finish(Ending{})
	})
}

// A window that has no room shows nothing and harms nothing.
func TestLiveDisplayInNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range [][2]int{{0, 0}, {1, 1}, {2, 2}, {5, 2}, {80, 1}} {
			v := newTerminal(t, max(1, size[0]), max(1, size[1]))
			screen := &Screen{Terminal: v, Now: time.Now, Size: func() (int, int) { return size[0], size[1] }}
			p := NewText(Options{Out: v, Err: v, Screen: screen, Shape: Shape{{"Ä play with a long name", map[string]int{"db1": 1}}}})
			p.Event(events.Event{Type: events.PlayStarted, Play: "Ä play with a long name"})
			p.Event(events.Event{Type: events.TaskStarted, Host: "db1", Task: "certificate"})
			time.Sleep(2 * redraw)
			synctest.Wait()
			p.Finish(Ending{})
			if got := v.text(); got != "\n" {
				t.Errorf("%v: left behind %q", size, got)
			}
		}
	})
}

// Questions are asked on a clean terminal.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 80, 24)
		screen := newTestScreen(v)
		screen.Start(func(time.Time, int, int) []string { return []string{"working"} })
		see(t, v, "working\n")
		screen.Pause(func() {
			if v.hidden || v.text() != "\n" {
				t.Errorf("hidden %v, shows %q", v.hidden, v.text())
			}
			_, _ = io.WriteString(v, "password: ")
			screen.Update(func() {}) // a run goes on meanwhile
			time.Sleep(5 * redraw)
			_, _ = io.WriteString(v, "\n")
		})
		see(t, v, "password:\nworking\n")
		screen.Close()
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":               "plain",
		"Ümlaut · 日本":         "Ümlaut · 日本",
		"a\tb":                "a    b",
		"\x1b]0;title\x07":    `\x1b]0;title\a`,
		"\xff\xfe":            `\xff\xfe`,
		"abc\u202edef":        `abc\u202edef`,
		"over\rwritten\x08":   `over\rwritten\b`,
		"\u0085next\u009b31m": `\u0085next\u009b31m`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m")
	f.Add("\xc2\x9b31m")
	f.Fuzz(func(t *testing.T, in string) {
		got := Clean(in)
		for _, r := range got {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
				t.Errorf("Clean(%q) = %q", in, got)
			}
		}
		if again := Clean(got); again != got {
			t.Errorf("not settled: %q, %q", got, again)
		}
	})
}

// Where the line of progress is too long, the play's name gives way to the numbers.
func TestHeadlineKeepsNumbers(t *testing.T) {
	l := newLive(Shape{{Name: "Clients trust, identify themselves, prove it", Tasks: map[string]int{"app1": 4, "app2": 4}}}, Style{})
	begin := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	l.event(events.Event{Type: events.PlayStarted, Time: begin, Play: "Clients trust, identify themselves, prove it"})
	for width, want := range map[int]string{
		80: "[1/1] Clients trust, identify themselves, pro…  0 of 2 hosts  0 of 8 tasks  0:07",
		40: "[1/1] Clients trust, identify themselve…",
	} {
		if got := l.headline(begin.Add(7*time.Second), width); got != want {
			t.Errorf("width %d: %q, want %q", width, got, want)
		}
	}
}
