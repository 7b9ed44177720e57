package shell

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed programs/many.sh
var manySource string

var manyProgram = stripped(manySource)

// maxGroup is how many bytes the long words of a group have together. Linux passes on 2 MiB of arguments and environment (a quarter of the stack's limit,
// execve(2)), less where that limit was lowered.
const maxGroup = 512 << 10

// group is steps that follow each other and run below one limiter.
type group struct {
	// lines are what programs/many.sh runs; "${2}" in them is the first of words.
	lines []byte
	words []string
	size  int
	// limit is the sum of the steps' limits in seconds.
	limit int
}

// groupable says whether a step may share shell and limiter with its neighbours: it acts as the connection's own user and reads nothing. A command that is
// no probe is somebody else's, with a limit of theirs, and may leave behind what no other step's limit shall end.
func groupable(s transport.Step, own string) bool {
	command := s.Shell == "" && s.Read == ""
	return s.Write == nil && len(s.Stdin) == 0 && (s.User == "" || s.User == own) && (!command || s.Probe && !strings.HasPrefix(s.Argv[0], "-"))
}

// add takes one more step, unless the group would become larger than what can be passed on.
func (g *group) add(id int, step transport.Step) bool {
	words, kind := wordsOf(step), "many_words"
	if step.Shell != "" || step.Read != "" {
		words, kind = append([]string{words[2]}, words[4:]...), "many_shell"
	}
	line := fmt.Appendf(nil, "%s %d %d %d", kind, id, probeOf(step), Seconds(step.Limit))
	long, size := g.words, g.size
	for _, w := range words {
		if len(w) < longWord {
			line = append(append(line, ' '), quote(w)...)
			continue
		}
		n := slices.Index(long, w)
		if n < 0 {
			n = len(long)
			long, size = append(long, w), size+len(w)
		}
		line = fmt.Appendf(line, ` "${%d}"`, n+2)
	}
	line = append(line, '\n')
	if len(g.lines)+len(line) > maxWord || size > maxGroup {
		return false
	}
	g.lines, g.words, g.size, g.limit = append(g.lines, line...), long, size, g.limit+Seconds(step.Limit)
	return true
}

// span is a step's group: its first step, and for how long from that one's begin the host lets it run.
type span struct {
	first int
	limit time.Duration
}

// appendGroup appends the group that begins with step i and gives the number of its steps; 0 when fewer than two would share.
func (b *batch) appendGroup(words sent, head, lines []byte, i int) (n int, newHead, newLines []byte) {
	var g group
	for !b.apart && i+n < len(b.steps) && groupable(b.steps[i+n], b.own) && g.add(b.first+i+n, b.steps[i+n]) {
		n++
	}
	if n < 2 {
		return 0, head, lines
	}
	// A second more, so that what the host's clock rounds away shortens no step's own limit.
	limit := g.limit + 1
	for j := range n {
		b.spans[i+j] = span{i, time.Duration(limit) * time.Second}
	}
	lines = fmt.Appendf(lines, "group %d %d", b.first+i, limit)
	head, lines = words.appendWord(head, lines, manyProgram)
	lines = append(append(lines, ' '), quote(string(g.lines))...) // never the same again: not kept
	for _, w := range g.words {
		head, lines = words.appendWord(head, lines, w)
	}
	return n, head, append(lines, '\n')
}

// broke takes the end of a group that did not end with all of its steps: what ran at that moment ends with its code. What the host kills can have said
// something on standard output that it did not come to say on standard error.
func (b *batch) broke(f streamFrame) {
	b.cut[f.stream] = true
	if f.stream == 1 {
		b.tail = append([]byte{}, f.frame.Before...)
	} else if i := b.running; i >= 0 {
		b.over = i
		b.ended(f, i)
	}
	if !b.cut[0] || !b.cut[1] {
		return
	}
	for i := range b.steps {
		if b.output[0][i] != nil && b.output[1][i] == nil {
			b.output[1][i] = b.tail
		}
	}
	b.collect()
}

// limit is what a step had: for one that the limit of its group ended, the time that it took.
func (b *batch) limit(i int) time.Duration {
	own := time.Duration(Seconds(b.steps[i].Limit)) * time.Second
	if i == b.over {
		return max(own, b.took[i].Round(time.Second))
	}
	return own
}

// left gives the steps that did not begin because a group broke before them, nil when a failure stopped the list.
func (b *batch) left() []transport.Step {
	n := len(b.results)
	if !b.cut[0] || n > 0 && b.results[n-1].Err != nil && !b.steps[n-1].Probe {
		return nil
	}
	return b.steps[n:]
}
