// Package events holds what a run tells: one Event for each thing that happened, from the first moment. Printers, the journal and
// pages only listen. The JSON form (one object a line) is stable and versioned.
package events

import "time"

// Version of the JSON form, in every event as "v".
const Version = 1

// Type of an event.
type Type string

// The types of events. TaskStarted and Progress are for live displays; every other type is also in the journal.
const (
	RunStarted  Type = "run_started"
	PlayStarted Type = "play_started"
	TaskStarted Type = "task_started"
	Task        Type = "task"
	Host        Type = "host"
	Notice      Type = "notice"
	Certificate Type = "certificate"
	Lock        Type = "lock"
	RunFinished Type = "run_finished"
)

// Kind of outcome.
type Kind string

// The outcomes of a task or a host.
const (
	OK          Kind = "ok"
	WouldChange Kind = "would_change"
	Changed     Kind = "changed"
	Skipped     Kind = "skipped"
	Failed      Kind = "failed"
	Unreachable Kind = "unreachable"
	Unverified  Kind = "unverified"
	RolledBack  Kind = "rolled_back"
	Interrupted Kind = "interrupted"
)

// Event is one thing that happened.
type Event struct {
	V    int       `json:"v"`
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Run  string    `json:"run"`
	Type Type      `json:"type"`
	Kind Kind      `json:"kind,omitempty"`
	Play string    `json:"play,omitempty"`
	Task string    `json:"task,omitempty"`
	Host string    `json:"host,omitempty"`
	// Cluster: "15/main".
	Cluster string `json:"cluster,omitempty"`
	Summary string `json:"summary,omitempty"`
	Diff    string `json:"diff,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Hint is what the user can do about it.
	Hint   string `json:"hint,omitempty"`
	TookMS int64  `json:"took_ms,omitempty"`
	// Data: by type: run_started {playbook, hosts, check}; host {connections, round_trips, file_batches}; run_finished {exit_code, counts};
	// task of kind verify {cells}.
	Data map[string]any `json:"data,omitempty"`
}

// Sink takes events in order. It must not block for long and never fails the run.
type Sink func(Event)
