package printers

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// redraw is the time between two pictures of the live display.
const redraw = 100 * time.Millisecond

// Frame gives the lines of the live display at a time, none of them longer than width and no more of them than height.
type Frame func(now time.Time, width, height int) []string

// Screen keeps a few lines at the bottom of a terminal up to date while other lines scroll above them. It is safe for concurrent use.
type Screen struct {
	// Terminal is written to; Size gives its columns and rows; Now is the clock.
	Terminal io.Writer
	Size     func() (width, height int)
	Now      func() time.Time
	// Style of the terminal.
	Style Style

	mu     sync.Mutex
	frame  Frame
	drawn  []string
	hidden bool
	paused int
	stop   chan struct{}
}

// Start shows a frame and keeps it up to date until Close.
func (s *Screen) Start(f Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return
	}
	s.frame, s.stop = f, make(chan struct{})
	go s.keep(s.stop)
}

// keep redraws: what happens ten times between two pictures is drawn once.
func (s *Screen) keep(stop <-chan struct{}) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			s.mu.Lock()
			if s.stop != nil && s.paused == 0 {
				s.draw()
			}
			s.mu.Unlock()
		}
	}
}

// Update changes what the frame is made from while nobody draws.
func (s *Screen) Update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Print writes text above the live display, to w, which may be another stream of the same terminal.
func (s *Screen) Print(w io.Writer, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	_, _ = io.WriteString(w, text)
}

// Pause takes the live display away while f talks with the user. Nobody waits for f: lines may come in between.
func (s *Screen) Pause(f func()) {
	s.mu.Lock()
	s.clear()
	s.show()
	s.paused++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.paused--
		s.mu.Unlock()
	}()
	f()
}

// Close takes the live display away and shows the cursor again. It may be called twice.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		return
	}
	close(s.stop)
	s.stop = nil
	s.clear()
	s.show()
}

// show brings the cursor back (DECTCEM).
func (s *Screen) show() {
	if s.hidden {
		_, _ = io.WriteString(s.Terminal, "\x1b[?25h")
		s.hidden = false
	}
}

// home moves the cursor to the first line of what was drawn. After the window became narrower, a line fills several rows; what left the window
// upwards is out of reach.
func (s *Screen) home(width, height int) string {
	rows := 0
	for _, l := range s.drawn {
		rows += max(1, (visible(l)+width-1)/width)
	}
	rows = min(rows, height-1)
	if rows <= 0 {
		return ""
	}
	return "\x1b[" + strconv.Itoa(rows) + "A\r"
}

// clear takes away what was drawn.
func (s *Screen) clear() {
	if len(s.drawn) == 0 {
		return
	}
	width, height := s.Size()
	_, _ = io.WriteString(s.Terminal, s.home(max(1, width), height)+"\x1b[J")
	s.drawn = nil
}

// draw writes the picture in one go. The last column stays free, because terminals differ in what they do there, and so does the last row.
func (s *Screen) draw() {
	width, height := s.Size()
	if width < 2 || height < 2 {
		s.clear()
		return
	}
	picture := s.frame(s.Now(), width-1, height-1)
	var b strings.Builder
	if !s.hidden {
		b.WriteString("\x1b[?25l")
		s.hidden = true
	}
	b.WriteString(s.home(width, height))
	for _, l := range picture {
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(s.Terminal, b.String())
	s.drawn = picture
}

// visible counts the columns of a painted line.
func visible(line string) int {
	n := 0
	for len(line) > 0 {
		if line[0] == '\x1b' {
			end := strings.IndexByte(line, 'm')
			if end < 0 {
				return n
			}
			line = line[end+1:]
			continue
		}
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
		n++
	}
	return n
}
