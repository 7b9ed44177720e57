package printers

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport"
)

// Style paints text, or leaves it as it is.
type Style struct {
	// Color: the stream is a terminal whose user did not ask for no colours.
	Color bool
}

// Colours as SGR parameters (ECMA-48 8.3.117).
const (
	bold    = "1"
	faint   = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

func (s Style) paint(sgr, text string) string {
	if !s.Color || sgr == "" || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// look is how an outcome is written and painted.
type look struct{ word, sgr string }

var looks = map[events.Kind]look{
	events.OK:          {"ok", green},
	events.WouldChange: {"would change", yellow},
	events.Changed:     {"changed", yellow},
	events.Skipped:     {"skipped", cyan},
	events.Failed:      {"failed", red},
	events.Unreachable: {"unreachable", red},
	events.Unverified:  {"unverified", red},
	events.RolledBack:  {"rolled back", magenta},
	events.Interrupted: {"interrupted", magenta},
	issued:             {"issued", green},
}

// issued is how a signed certificate is shown; it is nobody's result.
const issued events.Kind = "issued"

// kindWidth is the width of the longest word among looks.
const kindWidth = len("would change")

func word(k events.Kind) string {
	if l, ok := looks[k]; ok {
		return l.word
	}
	return string(k)
}

// kind gives an outcome painted and padded to kindWidth.
func (s Style) kind(k events.Kind) string {
	return s.paint(looks[k].sgr, pad(word(k), kindWidth))
}

// diff paints a unified diff.
func (s Style) diff(line string) string {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		return s.paint(bold, line)
	case strings.HasPrefix(line, "@@"):
		return s.paint(cyan, line)
	case strings.HasPrefix(line, "+"):
		return s.paint(green, line)
	case strings.HasPrefix(line, "-"):
		return s.paint(red, line)
	}
	return line
}

// Clean makes a line of foreign text harmless: control characters and those that turn the writing direction are written as escapes, so that
// nothing that a host says can move the cursor, recolour or hide other text.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == '\t':
			b.WriteString("    ")
		case !harmless(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

func isClean(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || r == '\t' || !harmless(r) {
			return false
		}
	}
	return true
}

func harmless(r rune) bool { return unicode.IsGraphic(r) && !unicode.Is(unicode.Bidi_Control, r) }

// lines splits foreign text into clean lines without an empty one at the end.
func lines(text string) []string {
	text = strings.TrimRight(text, "\r\n")
	if text == "" {
		return nil
	}
	out := strings.Split(text, "\n")
	for i, l := range out {
		out[i] = Clean(strings.TrimSuffix(l, "\r"))
	}
	return out
}

// oneLine puts foreign text on one clean line: what follows a colon after it, everything else after a semicolon.
func oneLine(text string) string {
	var b strings.Builder
	for i, line := range lines(text) {
		if i > 0 {
			line = strings.TrimLeft(line, " ")
			if !strings.HasSuffix(b.String(), ":") {
				b.WriteByte(';')
			}
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return b.String()
}

// because is a reason without the words that the outcome before it has said already.
func because(k events.Kind, reason string) string {
	if k == events.Unreachable {
		reason = strings.TrimPrefix(reason, transport.ErrUnreachable.Error()+": ")
	}
	return reason
}

func pad(text string, width int) string {
	if n := utf8.RuneCountInString(text); n < width {
		return text + strings.Repeat(" ", width-n)
	}
	return text
}

// cut shortens text to width columns.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	r := []rune(text)
	return string(r[:width-1]) + "…"
}

// wrap breaks text at blanks into lines of at most width columns; a word that is longer stays whole.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(text) {
		switch {
		case line == "":
			line = w
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) <= width:
			line += " " + w
		default:
			out, line = append(out, line), w
		}
	}
	return append(out, line)
}

// Count writes a number with its noun: 1 host, 2 hosts.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
