package shell

import (
	"errors"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// What a host says of steps that it was not sent ends the connection.
func TestFramesOfNoStep(t *testing.T) {
	for _, f := range []Frame{{Kind: 'B', ID: 4}, {Kind: 'B', ID: 7}, {Kind: 'E', ID: 4}, {Kind: 'E', ID: 7}, {Kind: 'X', ID: 4}, {Kind: 'X', ID: 7}, {Kind: 'D', ID: 6}, {Kind: 'D', ID: 8}, {Kind: 'F', ID: 5}, {Kind: 'H', ID: 5}} {
		b := newBatch([]transport.Step{{Shell: "a"}, {Shell: "b"}}, 5, "root")
		if err := b.file(streamFrame{frame: f}); !errors.Is(err, transport.ErrUnreachable) || b.done[0] || len(b.results) != 0 {
			t.Errorf("%c %d: %v, %+v", f.Kind, f.ID, err, b.results)
		}
	}
}

// Which step runs, and how it ended, is told by standard output alone; a result is there when both streams have ended.
func TestStreamsOfABatch(t *testing.T) {
	b := newBatch([]transport.Step{{Shell: "a"}, {Shell: "b"}}, 5, "root")
	for i, c := range []struct {
		frame            streamFrame
		running, results int
	}{
		{streamFrame{stream: 0, frame: Frame{Kind: 'B', ID: 5}}, 0, 0},
		{streamFrame{stream: 1, frame: Frame{Kind: 'B', ID: 5}}, 0, 0},
		{streamFrame{stream: 1, frame: Frame{Kind: 'E', ID: 5, Code: 9}}, 0, 0},
		{streamFrame{stream: 1, frame: Frame{Kind: 'B', ID: 6}}, 0, 0},
		{streamFrame{stream: 0, frame: Frame{Kind: 'E', ID: 5, Code: 3}}, -1, 1},
		{streamFrame{stream: 0, frame: Frame{Kind: 'B', ID: 6}}, 1, 1},
		{streamFrame{stream: 0, frame: Frame{Kind: 'E', ID: 6}}, -1, 1},
		{streamFrame{stream: 1, frame: Frame{Kind: 'E', ID: 6, Before: []byte("err")}}, -1, 2},
	} {
		if err := b.file(c.frame); err != nil || b.running != c.running || len(b.results) != c.results {
			t.Fatalf("frame %d: %v, step %d runs, %d results", i, err, b.running, len(b.results))
		}
	}
	if b.results[0].Code != 3 || b.results[1].Code != 0 || string(b.results[1].Stderr) != "err" {
		t.Errorf("%+v", b.results)
	}
}

// A group that broke ended the step that ran then, and that one alone: it is not sent again, and what was still to come is, unless a change has failed.
func TestGroupThatBroke(t *testing.T) {
	for _, probe := range []bool{true, false} {
		b := newBatch([]transport.Step{{Shell: "a"}, {Shell: "b", Probe: probe}, {Shell: "c"}, {Shell: "d"}}, 5, "root")
		b.lines(sent{})
		file := func(stream int, f Frame, results int) {
			t.Helper()
			if err := b.file(streamFrame{stream: stream, frame: f}); err != nil || len(b.results) != results {
				t.Fatalf("probe %v, %c %d on %d: %v, %d results, want %d", probe, f.Kind, f.ID, stream, err, len(b.results), results)
			}
		}
		file(0, Frame{Kind: 'B', ID: 5}, 0)
		file(0, Frame{Kind: 'E', ID: 5}, 0)
		file(1, Frame{Kind: 'E', ID: 5}, 1)
		file(0, Frame{Kind: 'B', ID: 6}, 1)
		file(1, Frame{Kind: 'X', ID: 5, Code: 124, Before: []byte("err")}, 1)
		file(0, Frame{Kind: 'X', ID: 5, Code: 124, Before: []byte("out")}, 2)
		if r := b.results[1]; r.Code != 124 || r.Err == nil || string(r.Stdout) != "out" || string(r.Stderr) != "err" {
			t.Errorf("probe %v: %+v", probe, r)
		}
		left := b.left()
		if want := map[bool]int{true: 2, false: 0}[probe]; len(left) != want || want > 0 && left[0].Shell != "c" {
			t.Errorf("probe %v: %d steps are sent again: %+v", probe, len(left), left)
		}
		// The streams may tell of it in the other order.
		b = newBatch([]transport.Step{{Shell: "a", Probe: probe}, {Shell: "b"}}, 5, "root")
		b.lines(sent{})
		file(0, Frame{Kind: 'B', ID: 5}, 0)
		file(0, Frame{Kind: 'X', ID: 5, Code: 137}, 0)
		file(1, Frame{Kind: 'X', ID: 5, Code: 137, Before: []byte("late")}, 1)
		if r := b.results[0]; r.Code != 137 || string(r.Stderr) != "late" {
			t.Errorf("probe %v, standard output first: %+v", probe, r)
		}
	}
	b := newBatch([]transport.Step{{Shell: "a"}, {Shell: "b"}}, 5, "root")
	if left := b.left(); left != nil {
		t.Errorf("without a group that broke: %d steps are sent again", len(left))
	}
}
