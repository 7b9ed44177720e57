package cmd

import (
	"io"

	"github.com/pgfleet/pgfleet/cmd/printers"
)

// style says how to paint on a stream.
func (o *outputOptions) style(sys *System, stream io.Writer) printers.Style {
	return printers.Style{Color: sys.isTerminal(stream) && !o.noColor && sys.Getenv("NO_COLOR") == "" && sys.Getenv("TERM") != "dumb"}
}

// width of standard output; 0 when it is no terminal.
func width(sys *System) int {
	w, _, ok := sys.Size(sys.Out)
	if !ok {
		return 0
	}
	return w
}

// screen gives the live display, nil where there is no place for one: standard error is no terminal, or it would stand between data.
func (o *outputOptions) screen(sys *System) *printers.Screen {
	if !sys.isTerminal(sys.Err) || sys.Getenv("TERM") == "dumb" {
		return nil
	}
	if o.output == "jsonl" && sys.isTerminal(sys.Out) {
		return nil
	}
	return &printers.Screen{Terminal: sys.Err, Now: sys.Now, Size: func() (int, int) {
		w, h, _ := sys.Size(sys.Err)
		return w, h
	}}
}
