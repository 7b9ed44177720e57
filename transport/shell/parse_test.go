package shell

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

const nonce = "NONCE"

func TestParser(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
	}{
		{"hello after noise", "motd\nrubbish\nNONCE H 1 0 x\n", `H 0 0 "1 0 x" "motd\nrubbish"|`},
		{"one step", "\nNONCE B 3\nout\n\nNONCE E 3 0\n\nNONCE D 4\n", `B 3 0 "" ""|E 3 0 "" "out\n"|D 4 0 "" ""|`},
		{"no newline at the end", "\nNONCE B 3\nout\nNONCE E 3 7\n", `B 3 0 "" ""|E 3 7 "" "out"|`},
		{"another nonce", "\nNONC E 3 0\n\nNONCEX E 1 0\n\nNONCE E 3 0\n", `E 3 0 "" "\nNONC E 3 0\n\nNONCEX E 1 0\n"|`},
		{"unfinished", "\nNONCE E 3", ``},
		{"fatal", "\nNONCE F no space\n", `F 0 0 "no space" ""|`},
		{"bad kind", "\nNONCE X 3\n", "error"},
		{"bad number", "\nNONCE E 3 x\n", "error"},
		{"too few", "\nNONCE E 3\n", "error"},
		{"too many", "\nNONCE B 3 4\n", "error"},
	} {
		for _, size := range []int{1, 2, 7, 1000} {
			if got := feed(c.in, size); got != c.want {
				t.Errorf("%s in pieces of %d: got %s, want %s", c.name, size, got, c.want)
			}
		}
	}
}

// A connection that waits for its next batch holds no room of the last answer.
func TestParserKeepsNothing(t *testing.T) {
	p := NewParser(nonce)
	if _, err := p.Feed([]byte("\nNONCE B 3\n" + strings.Repeat("x", 1<<20) + "\nNONCE E 3 0\n")); err != nil {
		t.Fatal(err)
	}
	if cap(p.Rest()) > 0 {
		t.Errorf("%d bytes are kept", cap(p.Rest()))
	}
}

// A host that never stops printing costs little memory: little before the program runs, a file of MaxRead and no more for a step.
func TestParserLimits(t *testing.T) {
	piece := bytes.Repeat([]byte("y\n"), 1<<19)
	flood := func(p *Parser) (n int) {
		for n <= MaxOutput+2*len(piece) {
			n += len(piece)
			if _, err := p.Feed(piece); err != nil {
				break
			}
		}
		return n
	}
	p := NewParser(nonce)
	if n := flood(p); n > MaxNoise+len(piece) || len(p.Rest()) > MaxNoise {
		t.Errorf("%d bytes of noise were taken, %d kept", n, len(p.Rest()))
	}
	p = NewParser(nonce)
	if _, err := p.Feed([]byte("\nNONCE H 1 0 x\n")); err != nil {
		t.Fatal(err)
	}
	if n := flood(p); n <= MaxRead || n > MaxOutput+len(piece) {
		t.Errorf("%d bytes of a step's output were taken", n)
	}
}

// feed gives what a parser makes of text that comes in pieces.
func feed(text string, size int) string {
	p := NewParser(nonce)
	var b strings.Builder
	for len(text) > 0 {
		n := min(size, len(text))
		frames, err := p.Feed([]byte(text[:n]))
		if err != nil {
			return "error"
		}
		text = text[n:]
		for _, f := range frames {
			fmt.Fprintf(&b, "%c %d %d %q %q|", f.Kind, f.ID, f.Code, f.Text, f.Before)
		}
	}
	return b.String()
}

// FuzzParser: how the bytes are cut makes no difference, and what a step prints comes out as it went in.
func FuzzParser(f *testing.F) {
	f.Add([]byte("\nNONCE B 1\nout\nNONCE E 1 0\n\nNONCE D 2\n"), 3)
	f.Add([]byte("\nNONCE \nNONCE E 1 0\nNONCE"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = max(1, size%64)
		whole, pieces := feed(string(b), 1<<20), feed(string(b), size)
		if whole != pieces {
			t.Errorf("whole %s, in pieces %s", whole, pieces)
		}
		p := NewParser("another nonce")
		in := append(append([]byte("\nanother nonce B 7\n"), b...), "\nanother nonce E 7 1\n"...)
		frames, err := p.Feed(in)
		if bytes.Contains(b, []byte("\nanother nonce ")) {
			return
		}
		if err != nil || len(frames) != 2 || !bytes.Equal(frames[1].Before, b) {
			t.Errorf("%v %v", frames, err)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add("12 640 0 104 1700000000 root postgres regular file")
	f.Add("0 600 54321 54321 -1 UNKNOWN UNKNOWN regular empty file")
	f.Fuzz(func(t *testing.T, line string) {
		_, info, err := parseStat(line)
		if (err == nil) != (info != nil) || info != nil && info.Mode != info.Mode.Perm() {
			t.Errorf("%+v %v", info, err)
		}
	})
}

// TestFrames pins what goes over the wire.
func TestFrames(t *testing.T) {
	long := "exit 0" + strings.Repeat(" # long", 50)
	for _, c := range []struct {
		steps []transport.Step
		want  string
	}{
		{[]transport.Step{{Argv: []string{"echo", "it's\nb", ""}}}, "step 5 0 60 '-' 'echo' 'it'\\''s\nb' ''\n"},
		{[]transport.Step{{Shell: "exit $1", Argv: []string{"3"}, User: "postgres", Probe: true, Limit: 1500e6}}, "step 5 1 2 'postgres' '/bin/sh' '-c' 'exit $1' 'sh' '3'\n"},
		{[]transport.Step{{Argv: []string{"cat"}, Stdin: []byte("it's\nfinish 6\n")}}, "feed %s 'it'\\''s\nfinish 6\n'\nstep 5 0 60 '-' 'cat'\n"},
		{[]transport.Step{{Argv: []string{"cat"}, Stdin: []byte("\x00\\0\xff")}}, "feed %b '\\0000\\\\0\xff'\nstep 5 0 60 '-' 'cat'\n"},
		{[]transport.Step{{Shell: long, Argv: []string{"1"}}, {Shell: long, Argv: []string{"2"}}},
			"p0=" + quote(manyProgram) + "\np1='" + long + "'\ngroup 5 121 \"$p0\" 'many_shell 5 0 60 \"${2}\" '\\''1'\\''\nmany_shell 6 0 60 \"${2}\" '\\''2'\\''\n' \"$p1\"\n"},
		{[]transport.Step{{Shell: long, User: "postgres"}, {Argv: []string{"true"}, Probe: true}, {Shell: long, Stdin: []byte("x")}, {Shell: "exit"}, {Argv: []string{"true"}}, {Argv: []string{"-x"}, Probe: true}},
			"p0='" + long + "'\nstep 5 0 60 'postgres' '/bin/sh' '-c' \"$p0\" 'sh'\nstep 6 1 60 '-' 'true'\nfeed %s 'x'\nstep 7 0 60 '-' '/bin/sh' '-c' \"$p0\" 'sh'\n" +
				"step 8 0 60 '-' '/bin/sh' '-c' 'exit' 'sh'\nstep 9 0 60 '-' 'true'\nstep 10 1 60 '-' '-x'\n"},
		{[]transport.Step{{Argv: []string{"true"}, Limit: 1500e6, Probe: true}, {Shell: "exit $1", Argv: []string{"it's"}, User: "root", Probe: true}},
			"p0=" + quote(manyProgram) + "\ngroup 5 63 \"$p0\" 'many_words 5 1 2 '\\''true'\\''\nmany_shell 6 1 60 '\\''exit $1'\\'' '\\''it'\\''\\'\\'''\\''s'\\''\n'\n"},
	} {
		want := c.want + fmt.Sprintf("finish %d\n# token\n", 5+len(c.steps))
		want = fmt.Sprintf("%d\n%s", len(want), want)
		words := sent{}
		if got := string(newBatch(c.steps, 5, "root").encode(words, "token")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if again := string(newBatch(c.steps, 5, "root").encode(words, "token")); len(words) > 0 && strings.Contains(again, long) {
			t.Errorf("a long word is sent again: %q", again)
		}
	}
}

// TestCutShort: of a batch that did not come whole, nothing runs.
func TestCutShort(t *testing.T) {
	touched := filepath.Join(t.TempDir(), "touched")
	whole := newBatch([]transport.Step{{Argv: []string{"touch", touched}}, {Argv: []string{"true"}}}, 0, "root").encode(sent{}, "TOKEN")
	begin := preamble("NONCE", "TOKEN", nil)
	for n := range len(whole) - 1 { // its last line is there without the line end
		cmd := exec.Command("/bin/sh", "-c", `IFS= read -r p && eval "$p"`)
		cmd.Stdin = bytes.NewReader(slices.Concat(begin, whole[:n]))
		if out, _ := cmd.CombinedOutput(); bytes.Contains(out, []byte("NONCE B 0")) {
			t.Fatalf("%d of %d bytes: %q", n, len(whole), out)
		}
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("a step ran")
	}
}

// TestBootstrap: the login shell may be csh or fish; inside single quotes they still look at some characters.
func TestBootstrap(t *testing.T) {
	inner := strings.TrimSuffix(strings.TrimPrefix(Bootstrap, "/bin/sh -c '"), "'")
	if strings.ContainsAny(inner, "'\\!\n") || strings.Count(Bootstrap, "'") != 2 {
		t.Errorf("not safe in every login shell: %s", Bootstrap)
	}
	if line := firstLine("nonce", "token", 5); strings.Count(line, "\n") != 1 {
		t.Errorf("not one line: %q", line)
	}
}
