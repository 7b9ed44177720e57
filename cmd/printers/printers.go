// Package printers shows what a run does. A printer only listens: it gets events in order, decides nothing and never fails the run.
//
// Where things go: what a person would keep (headings, results, diffs, recap, tables, JSON) is data and goes to Out; what is true only for a
// moment (the live display) and notices go to Err. Text that came from a host is cleaned of control characters before a terminal sees it.
package printers

import (
	"io"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// Printer shows one run. Its methods are safe for concurrent use.
type Printer interface {
	// Event is told everything that happens, in order.
	Event(events.Event)
	// Dialling is told when connecting to a host begins, and how long it may take.
	Dialling(host string, most time.Duration)
	// Dialled is told when connecting to a host has ended, before the first event that names the host.
	Dialled(host string, err error)
	// Finish shows what is known at the end and puts the terminal back as it was.
	Finish(Ending)
}

// Ending is what a printer cannot know from the events alone.
type Ending struct {
	// Exit is the code that the command is going to end with.
	Exit int
	// Cells of every verification of the run.
	Cells []tasks.Cell
}

// Options say how to show.
type Options struct {
	// Out gets data, Err notices.
	Out, Err io.Writer
	// Style for Out; ErrStyle for Err.
	Style, ErrStyle Style
	// Verbose shows hosts and tasks that are as wanted too, and what the connections cost. Diff shows what differs.
	Verbose, Diff bool
	// Check: nothing is applied, which the recap says.
	Check bool
	// Width of Out in columns; 0 means that nothing limits it.
	Width int
	// HostWidth and TaskWidth are the widths of the longest names of hosts and tasks, so that results stand below each other; 0: not known.
	HostWidth, TaskWidth int
	// Screen, if not nil, is where the live display is; everything else is printed through it.
	Screen *Screen
	// Shape of the plan, for the live display.
	Shape Shape
}

// Shape says how much there is to do: for each play in order, the number of tasks of each host.
type Shape []PlayShape

// PlayShape is one play of a Shape.
type PlayShape struct {
	Name  string
	Tasks map[string]int
}
