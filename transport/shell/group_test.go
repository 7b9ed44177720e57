package shell

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// written counts what is written, a batch each.
type written struct {
	io.Writer
	n atomic.Int32
}

func (w *written) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Writer.Write(b)
}

// A group goes over the wire once, also with a failed probe in it and with nothing but; only one that broke makes a second batch of those after it.
func TestGroupIsSentOnce(t *testing.T) {
	pipes := local(t, "/bin/sh", "-c", `IFS= read -r p && eval "$p"`)
	in := &written{Writer: pipes.In}
	pipes.In = in
	session, host, err := Start(t.Context(), pipes)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if !strings.Contains(host.Tools, " timeout ") {
		t.Skip("without timeout steps run one by one: ", host.Tools)
	}
	say := transport.Step{Shell: `echo "$PPID"`}
	probe := func(program string) transport.Step { return transport.Step{Shell: program, Probe: true} }
	for _, c := range []struct {
		name   string
		steps  []transport.Step
		writes int32
		same   bool
	}{
		{"all well", []transport.Step{say, say}, 1, true},
		{"failed probes", []transport.Step{say, probe("exit 1"), probe("exit 2"), say}, 1, true},
		{"nothing but failed probes", []transport.Step{probe("exit 1"), probe("exit 2")}, 1, true},
		{"a probe that takes the shell along", []transport.Step{say, probe("kill -KILL $$"), say}, 2, false},
		{"another's input between", []transport.Step{say, {Argv: []string{"cat"}, Stdin: []byte("x")}, say}, 1, false},
	} {
		before := in.n.Load()
		r, err := session.Run(t.Context(), c.steps)
		if err != nil || len(r) != len(c.steps) {
			t.Fatalf("%s: %+v %v", c.name, r, err)
		}
		if n := in.n.Load() - before; n != c.writes {
			t.Errorf("%s: %d batches went out, want %d", c.name, n, c.writes)
		}
		// Whoever started the shell of a step is its limiter: one and the same for all of a group.
		if first, last := string(r[0].Stdout), string(r[len(r)-1].Stdout); (first == last) != c.same {
			t.Errorf("%s: limiters %q and %q", c.name, first, last)
		}
	}
}

// Steps that go with the program are not sent again, and a change never goes with it.
func TestAhead(t *testing.T) {
	steps := []transport.Step{{Shell: "echo a", Probe: true}, {Argv: []string{"echo", "b"}, Probe: true}}
	for _, c := range []struct {
		name   string
		run    []transport.Step
		out    string
		writes int32
	}{
		{"the same", steps, "a\nb\n", 1},
		{"others", []transport.Step{{Shell: "echo c"}}, "c\n", 2},
	} {
		pipes := local(t, "/bin/sh", "-c", `IFS= read -r p && eval "$p"`)
		in := &written{Writer: pipes.In}
		pipes.In = in
		session, _, err := Start(t.Context(), pipes, steps...)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		r, err := session.Run(t.Context(), c.run)
		if err != nil || len(r) != len(c.run) {
			t.Fatalf("%s: %+v %v", c.name, r, err)
		}
		out := ""
		for _, one := range r {
			out += string(one.Stdout)
		}
		if out != c.out || in.n.Load() != c.writes {
			t.Errorf("%s: %q after %d writes, want %d", c.name, out, in.n.Load(), c.writes)
		}
	}
	if _, _, err := Start(t.Context(), local(t, "cat"), transport.Step{Shell: "exit"}); err == nil || !strings.Contains(err.Error(), "only what changes nothing") {
		t.Errorf("a change: %v", err)
	}
}

// TestAheadCutShort: of a program that did not come whole, nothing runs, and nothing of what goes with it.
func TestAheadCutShort(t *testing.T) {
	touched := filepath.Join(t.TempDir(), "touched")
	batch := newBatch([]transport.Step{{Argv: []string{"touch", touched}}}, 0, "root").lines(sent{})
	whole := preamble("NONCE", "TOKEN", batch)
	for n := len(whole) - 2; n > 0; n -= max(1, len(whole)/200) {
		cmd := exec.Command("/bin/sh", "-c", `IFS= read -r p && eval "$p"`)
		cmd.Stdin = bytes.NewReader(whole[:n])
		if out, _ := cmd.CombinedOutput(); bytes.Contains(out, []byte("NONCE B 0")) || bytes.Contains(out, []byte("NONCE H")) {
			t.Fatalf("%d of %d bytes: %q", n, len(whole), out)
		}
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("a step ran")
	}
}
