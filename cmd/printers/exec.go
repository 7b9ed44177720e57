package printers

import (
	"fmt"
	"io"
	"strings"

	"github.com/pgfleet/pgfleet/playbooks/events"
)

// ExecResult is what a command gave on one host. Code is -1 where it did not run.
type ExecResult struct {
	Host   string      `json:"host"`
	Kind   events.Kind `json:"kind"`
	Code   int         `json:"code"`
	Stdout string      `json:"stdout"`
	Stderr string      `json:"stderr"`
	Error  string      `json:"error,omitempty"`
	Hint   string      `json:"hint,omitempty"`
	TookMS int64       `json:"took_ms"`
}

// Exec prints what a command gave: in text and JSONL each host as it ends, in JSON all at the end.
type Exec struct {
	out    io.Writer
	style  Style
	format string
	all    []ExecResult
}

// NewExec gives the printer for a format: text, json or jsonl.
func NewExec(out io.Writer, s Style, format string) *Exec {
	return &Exec{out: out, style: s, format: format, all: []ExecResult{}}
}

// Result shows one host.
func (x *Exec) Result(r ExecResult) {
	switch x.format {
	case "json":
		x.all = append(x.all, r)
		return
	case "jsonl":
		_ = encoder(x.out, "").Encode(r)
		return
	}
	var b strings.Builder
	bar := x.style.paint(looks[r.Kind].sgr, r.Host+" |")
	for _, l := range lines(r.Stdout) {
		b.WriteString(strings.TrimRight(bar+" "+l, " ") + "\n")
	}
	for _, l := range lines(r.Stderr) {
		b.WriteString(strings.TrimRight(bar+" "+x.style.paint(faint, l), " ") + "\n")
	}
	switch {
	case r.Error != "":
		b.WriteString(bar + " " + x.style.paint(red, word(r.Kind)+": "+because(r.Kind, oneLine(r.Error))) + "\n")
	case r.Code != 0 || b.Len() == 0:
		fmt.Fprintf(&b, "%s %s\n", bar, x.style.paint(looks[r.Kind].sgr, fmt.Sprintf("exit code %d", r.Code)))
	}
	if r.Hint != "" {
		b.WriteString(bar + " " + x.style.paint(cyan, "hint: "+oneLine(r.Hint)) + "\n")
	}
	_, _ = io.WriteString(x.out, b.String())
}

// Finish ends the output.
func (x *Exec) Finish() error {
	if x.format == "json" {
		return WriteJSON(x.out, x.all)
	}
	return nil
}
