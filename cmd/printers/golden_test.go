package printers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
)

var update = flag.Bool("update", false, "write what the printers print into testdata")

// forms are the ways in which each stream of events is printed.
var forms = []struct {
	name    string
	printer func(Options) Printer
	change  func(*Options)
}{
	{"text", NewText, func(*Options) {}},
	{"verbose", NewText, func(o *Options) { o.Verbose, o.Diff = true, true }},
	{"color", NewText, func(o *Options) {
		o.Style.Color, o.ErrStyle.Color, o.Diff, o.Width = true, true, true, 72
	}},
	{"quiet", NewQuiet, func(*Options) {}},
	{"json", NewJSON, func(*Options) {}},
	{"jsonl", NewJSONL, func(*Options) {}},
}

// TestGolden prints every testdata/*.jsonl in every form. Lines of standard error begin with "err| ".
func TestGolden(t *testing.T) {
	streams, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(streams) < 4 {
		t.Fatalf("streams: %v, %v", streams, err)
	}
	for _, path := range streams {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		stream, end := readStream(t, path)
		for _, form := range forms {
			t.Run(name+"/"+form.name, func(t *testing.T) {
				var out bytes.Buffer
				opt := Options{Out: &out, Err: &marked{to: &out}, Check: stream[0].Data["check"] == true}
				form.change(&opt)
				p := form.printer(opt)
				for _, e := range stream {
					p.Event(e)
				}
				p.Finish(end)
				golden(t, filepath.Join("testdata", name+"."+form.name+".golden"), out.Bytes())
				if form.name != "color" && bytes.ContainsAny(out.Bytes(), "\x1b\x07") {
					t.Error("a control character of a host got through")
				}
			})
		}
	}
}

// readStream gives the events of a file and what a run would know at their end.
func readStream(t *testing.T, path string) ([]events.Event, Ending) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var (
		stream []events.Event
		end    Ending
	)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e events.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		stream = append(stream, e)
		var data struct {
			Cells    []events.Cell `json:"cells"`
			ExitCode int           `json:"exit_code"`
		}
		raw, _ := json.Marshal(e.Data)
		if err := json.Unmarshal(raw, &data); err != nil {
			t.Fatal(err)
		}
		for _, c := range data.Cells {
			end.Cells = append(end.Cells, tasks.Cell(c))
		}
		end.Exit = data.ExitCode
	}
	return stream, end
}

// marked puts "err| " before each line.
type marked struct{ to *bytes.Buffer }

func (m *marked) Write(p []byte) (int, error) {
	for _, l := range strings.SplitAfter(string(p), "\n") {
		if l != "" {
			m.to.WriteString("err| " + l)
		}
	}
	return len(p), nil
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
