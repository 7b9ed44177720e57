package printers

import (
	"encoding/json"
	"io"
	"time"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

// Cells gives cells in their JSON form, never nil.
func Cells(cells []tasks.Cell) []events.Cell {
	out := make([]events.Cell, len(cells))
	for i, c := range cells {
		out[i] = events.Cell(c)
	}
	return out
}

// jsonl writes each event as it comes, one object a line.
type jsonl struct {
	enc     *json.Encoder
	display display
}

// NewJSONL is the printer of -o jsonl.
func NewJSONL(opt Options) Printer {
	return &jsonl{enc: encoder(opt.Out, ""), display: startDisplay(opt)}
}

// Dialling shows in the live display which hosts are waited for.
func (j *jsonl) Dialling(host string, most time.Duration) { j.display.dialling(host, most) }

// Dialled shows in the live display how far connecting has come.
func (j *jsonl) Dialled(host string, err error) { j.display.dialled(host, err) }

// Event writes one line.
func (j *jsonl) Event(e events.Event) {
	j.display.event(e)
	_ = j.enc.Encode(e)
}

// Finish writes nothing: run_finished was the last line.
func (j *jsonl) Finish(Ending) { j.display.close() }

func encoder(out io.Writer, indent string) *json.Encoder {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc
}

// WriteJSON writes one indented document.
func WriteJSON(out io.Writer, v any) error { return encoder(out, "  ").Encode(v) }

// Document is what -o json prints at the end of a run.
type Document struct {
	V        int           `json:"v"`
	Run      string        `json:"run"`
	Playbook string        `json:"playbook,omitempty"`
	Check    bool          `json:"check"`
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished"`
	ExitCode int           `json:"exit_code"`
	Hosts    []Host        `json:"hosts"`
	Tasks    []Task        `json:"tasks"`
	Cells    []events.Cell `json:"cells"`
	Notices  []Notice      `json:"notices"`
}

// Host is the one result of a host. Tasks counts its tasks by outcome. Support: it was not chosen, others depend on it.
type Host struct {
	Host        string              `json:"host"`
	Kind        events.Kind         `json:"kind"`
	Reason      string              `json:"reason,omitempty"`
	Hint        string              `json:"hint,omitempty"`
	Tasks       map[events.Kind]int `json:"tasks"`
	Connections any                 `json:"connections,omitempty"`
	RoundTrips  any                 `json:"round_trips,omitempty"`
	FileBatches any                 `json:"file_batches,omitempty"`
	Support     bool                `json:"support,omitempty"`
}

// Task is how one task on one host ended.
type Task struct {
	Play    string      `json:"play,omitempty"`
	Task    string      `json:"task"`
	Host    string      `json:"host"`
	Cluster string      `json:"cluster,omitempty"`
	Kind    events.Kind `json:"kind"`
	Summary string      `json:"summary,omitempty"`
	Diff    string      `json:"diff,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Hint    string      `json:"hint,omitempty"`
	TookMS  int64       `json:"took_ms"`
}

// Notice is something to know that belongs to no task.
type Notice struct {
	Host   string `json:"host,omitempty"`
	Text   string `json:"text"`
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// document collects events and writes one Document at the end.
type document struct {
	out     io.Writer
	display display
	doc     Document
	counts  map[string]map[events.Kind]int
}

// NewJSON is the printer of -o json.
func NewJSON(opt Options) Printer {
	return &document{out: opt.Out, display: startDisplay(opt), counts: map[string]map[events.Kind]int{},
		doc: Document{V: events.Version, Check: opt.Check, Hosts: []Host{}, Tasks: []Task{}, Notices: []Notice{}}}
}

// Dialling shows in the live display which hosts are waited for.
func (d *document) Dialling(host string, most time.Duration) { d.display.dialling(host, most) }

// Dialled shows in the live display how far connecting has come.
func (d *document) Dialled(host string, err error) { d.display.dialled(host, err) }

// Event takes what belongs into the document.
func (d *document) Event(e events.Event) {
	d.display.event(e)
	if d.doc.Run == "" {
		d.doc.Run, d.doc.Started = e.Run, e.Time
	}
	switch e.Type {
	case events.RunStarted:
		d.doc.Playbook, _ = e.Data["playbook"].(string)
	case events.Task:
		if d.counts[e.Host] == nil {
			d.counts[e.Host] = map[events.Kind]int{}
		}
		d.counts[e.Host][e.Kind]++
		d.doc.Tasks = append(d.doc.Tasks, Task{e.Play, e.Task, e.Host, e.Cluster, e.Kind, e.Summary, e.Diff, e.Reason, e.Hint, e.TookMS})
	case events.Host:
		counts := d.counts[e.Host]
		if counts == nil {
			counts = map[events.Kind]int{}
		}
		d.doc.Hosts = append(d.doc.Hosts, Host{e.Host, e.Kind, e.Reason, e.Hint, counts, e.Data["connections"], e.Data["round_trips"],
			e.Data["file_batches"], e.Data["support"] == true})
	case events.Notice:
		d.doc.Notices = append(d.doc.Notices, Notice{e.Host, e.Summary, e.Reason, e.Hint})
	case events.RunFinished:
		d.doc.Finished = e.Time
	}
}

// Finish writes the document.
func (d *document) Finish(end Ending) {
	d.display.close()
	d.doc.ExitCode, d.doc.Cells = end.Exit, Cells(end.Cells)
	_ = WriteJSON(d.out, d.doc)
}
