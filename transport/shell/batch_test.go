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
