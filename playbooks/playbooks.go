// Package playbooks reads playbooks, turns one with an inventory into a plan, and runs the plan.
//
// One direction: the runner never sees YAML, a task never sees the plan, a printer only listens (package events).
package playbooks

import (
	"context"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// Playbook is a parsed playbook; templates are not filled yet.
type Playbook struct {
	File, Name string
	Vars       map[string]any
	// MaxFailures as written: a number or a template; "" means 0.
	MaxFailures string
	// BestEffort: what can be done is done. A host that fails keeps none of the others from going on, not those that depend on it either.
	BestEffort bool
	// LeaveOutUnreachable: hosts that cannot be connected to when the run begins are left out of it, and do not count against MaxFailures.
	LeaveOutUnreachable bool
	Plays               []Play
	// Lines of keys and, as "vars.<name>", of variables.
	Lines map[string]int

	kinds kindTable
}

// Play is a list of tasks for a selection of hosts.
type Play struct {
	Name, Hosts string
	Line        int
	// Serial: hosts a batch, as number ("5"), share ("25%"), several of them ("1,25%": the last one holds on) or a template; "" means all at once.
	Serial string
	// WaitFor: "all" or "": the play begins when the plays before it are through; "related": for each host when those that it has to do with are.
	WaitFor string
	// LookAgain: each host is looked at anew when it begins the play.
	LookAgain bool
	Tags      []string
	Vars      map[string]any
	Tasks     []TaskEntry
	// Lines of keys and, as "vars.<name>", of variables.
	Lines map[string]int
}

// TaskEntry is one task as written: kind and values with templates.
type TaskEntry struct {
	Kind, Name string
	Line       int
	Values     map[string]any
	// Lines of the values, for messages.
	Lines map[string]int
	Tags  []string
}

// Plan is what is going to happen: hosts, order, batches, tasks with filled values. A plain value that can be printed; no facts in it.
type Plan struct {
	Playbook string
	Plays    []PlannedPlay
	// Hosts of the run, and Support: hosts that are looked at and may sign, because a chosen host depends on them.
	Hosts, Support []*inventory.Host
	// Believers: of clients among Support it is seen whom they believe.
	Believers   bool
	Inventory   *inventory.Inventory
	MaxFailures int
	// BestEffort: see Playbook.
	BestEffort bool
	// LeaveOutUnreachable: see Playbook.
	LeaveOutUnreachable bool
	// Notes are what the user should know beforehand, for example a play that has no host here.
	Notes []string
	// Warnings are Notes that are told when the plan is run, too.
	Warnings []string

	// vars: filled variables by host.
	vars map[string]map[string]any
}

// PlannedPlay is one play with its batches.
type PlannedPlay struct {
	Name string
	// Related: a host begins when those that it has to do with are through the plays before: hosts with authorities, a client's servers, a server's clients.
	Related bool
	// LookAgain: see Play.
	LookAgain bool
	// Sizes: hosts in a batch, of the first, second, …; the last one holds for all that follow. nil: all at once.
	Sizes []int
	// Batches of host names, in order. A related play has one, from which batches are made as hosts become ready.
	Batches [][]string
	// Tasks by host name, in order.
	Tasks map[string][]PlannedTask
}

// size gives the hosts of a batch, counted from 1, when so many are to come.
func (p *PlannedPlay) size(number, hosts int) int {
	if p.Sizes == nil {
		return hosts
	}
	return min(p.Sizes[min(number, len(p.Sizes))-1], hosts)
}

// PlannedTask is one task bound to one host's values.
type PlannedTask struct {
	Kind, Name string
	// Values as filled, for printing.
	Values map[string]any
	Task   tasks.Task
}

// PlanOptions choose from a playbook and an inventory.
type PlanOptions struct {
	// Limit is a host pattern (-l), Tags (-t) choose plays and tasks; "" and none: all.
	Limit string
	Tags  []string
	// Vars from the command line (-e name=value) win over all others.
	Vars map[string]any
	// MaxFailures, if not nil, wins over -e max_failures and the playbook's key.
	MaxFailures *int
}

// Dialer opens the connection to one host; the runner calls it once a host and run. ahead are the probes, nothing secret in them, that the connection's first
// Do is going to ask for: they may travel with its start.
type Dialer func(ctx context.Context, h *inventory.Host, ahead ...transport.Step) (transport.Conn, error)

// Locker keeps two runs on one inventory apart; the journal adds its own later. Release is called once.
type Locker interface {
	Acquire(ctx context.Context, run string) (release func(), err error)
}

// RunOptions say how a plan is run.
type RunOptions struct {
	Dial Dialer
	// Forks: hosts worked on at once; 0 means 50.
	Forks int
	// Check: nothing is applied. AcceptRefusals: see tasks.Fleet.
	Check, AcceptRefusals bool
	// DetailedExit: with Check, pending changes give exit code 7.
	DetailedExit bool
	// Run id; "" makes one. Owner is shown to whoever meets this run's lease ("alice@workstation pid 4711").
	Run, Owner string
	// Alive tells whether another run of this process still goes on: the lease of one that has ended is taken over. nil: every one does.
	// Runs of processes that have ended are found out without it.
	Alive func(run string) bool
	// Now: the clock for renewals and events; nil means time.Now.
	Now  func() time.Time
	Sink events.Sink
	// KeySecret gives the passphrases of authorities' keys when they are to be used; nil: nobody knows them.
	KeySecret tasks.KeySecret
	// Lock, if not nil, is taken before the first host is contacted.
	Lock Locker
	// Stop, closed at the first Ctrl-C: no new step begins. The context ends at the second.
	Stop <-chan struct{}
}

// Outcome is how a run ended.
type Outcome struct {
	// Run id, Exit code (DESIGN 9), and one result for every host.
	Run   string
	Exit  int
	Hosts map[string]HostResult
	// Cells of every verification in the run.
	Cells []tasks.Cell
}

// HostResult is the one result of a host.
type HostResult struct {
	Kind    events.Kind
	Changed int
	Reason  string
	Stats   transport.Stats
}
