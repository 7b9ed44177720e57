package shell

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxOutput is the number of bytes up to which one step's output on one stream is kept; more ends the connection. A file of MaxRead fits in.
const MaxOutput = MaxRead + 1<<20

// MaxNoise is the number of bytes that may come before the program says that it runs: start-up files and banners.
const MaxNoise = 1 << 20

// errFlood is output that does not end.
var errFlood = errors.New("too much output")

// Frame is one line of the protocol with the bytes that came since the one before it.
type Frame struct {
	// Kind: H hello, B step begins, E step ended, X group ended before its steps, D batch done, F the host's program gave up.
	Kind byte
	// ID of the step or batch, of a group its first step's; Code of an E or X. Text is the rest of an H or F.
	ID, Code int
	Text     string
	// Before is what was printed before this line: for an E the step's output, otherwise noise.
	Before []byte
}

// Parser takes one output stream apart. The zero value is not usable: see NewParser.
type Parser struct {
	mark []byte
	buf  []byte
	seen int
	// limit is the number of bytes that may come without a frame.
	limit int
}

// NewParser reads a stream whose protocol lines begin with nonce.
func NewParser(nonce string) *Parser {
	return &Parser{mark: []byte("\n" + nonce + " "), limit: MaxNoise}
}

// Feed takes the next bytes and returns the frames that they complete. The error is for a line with the nonce
// that is no line of the protocol, or for more than MaxOutput bytes without one.
func (p *Parser) Feed(b []byte) ([]Frame, error) {
	p.buf = append(p.buf, b...)
	var frames []Frame
	for {
		at := bytes.Index(p.buf[p.seen:], p.mark)
		if at < 0 {
			p.seen = max(p.seen, len(p.buf)-len(p.mark)+1)
			break
		}
		at += p.seen
		p.seen = at
		line := p.buf[at+len(p.mark):]
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			break
		}
		f, err := parseLine(string(line[:end]))
		if err != nil {
			return frames, err
		}
		f.Before = bytes.Clone(p.buf[:at])
		frames = append(frames, f)
		p.buf = p.buf[at+len(p.mark)+end+1:]
		p.seen, p.limit = 0, MaxOutput
	}
	if len(p.buf) == 0 {
		p.buf = nil // a large answer's room is not kept for the small ones
	}
	if len(p.buf) > p.limit {
		p.buf = p.buf[:min(len(p.buf), 4096)]
		return frames, fmt.Errorf("%w: more than %d MiB", errFlood, p.limit>>20)
	}
	return frames, nil
}

// Rest gives what has come since the last frame: for messages about a stream that ended.
func (p *Parser) Rest() []byte { return p.buf }

func parseLine(line string) (Frame, error) {
	kind, rest, _ := strings.Cut(line, " ")
	if kind == "H" || kind == "F" {
		return Frame{Kind: kind[0], Text: rest}, nil
	}
	fields := strings.Fields(rest)
	want := map[string]int{"B": 1, "E": 2, "X": 2, "D": 1}[kind]
	if want == 0 || len(fields) != want {
		return Frame{}, fmt.Errorf("unexpected line of the protocol: %q", line)
	}
	f := Frame{Kind: kind[0]}
	var err error
	if f.ID, err = strconv.Atoi(fields[0]); err != nil {
		return Frame{}, fmt.Errorf("unexpected line of the protocol: %q", line)
	}
	if want == 2 {
		if f.Code, err = strconv.Atoi(fields[1]); err != nil {
			return Frame{}, fmt.Errorf("unexpected line of the protocol: %q", line)
		}
	}
	return f, nil
}
