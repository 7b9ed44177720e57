package transporttest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// Suite is what every transport.Conn must pass. connect gives a new connection, as root, to a host that may be thrown away afterwards;
// it ends with the test. The host has sh, coreutils, openssl and the user postgres.
func Suite(t *testing.T, connect func(t *testing.T) transport.Conn) {
	runSuite(t, connect, append([]suiteCase{
		{"steps run in order", testOrder},
		{"words arrive as they are", testWords},
		{"exit codes", testCodes},
		{"a failure stops the list, a probe's does not", testStop},
		{"standard input", testStdin},
		{"large data", testLarge},
		{"limits", testLimits},
		{"other users", testUsers},
		{"left-over processes", testLeftOver},
		{"files are written", testWrite},
		{"writes that fail leave everything as it was", testWriteFails},
		{"a full disk", testFullDisk},
		{"links are not followed", testLinks},
		{"files are read", testRead},
		{"reads that fail", testReadFails},
		{"several at once", testConcurrent},
		{"connections from the host", testDial},
		{"mistakes are found before anything is sent", testMistakes},
		{"cancelling", testCancel},
		{"closing", testClose},
	}, neighbours...))
}

// suiteCase is one of the suite's tests.
type suiteCase struct {
	name string
	run  func(*testing.T, *host)
}

func runSuite(t *testing.T, connect func(t *testing.T) transport.Conn, cases []suiteCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, &host{T: t, Conn: connect(t), another: connect}) })
	}
}

// host is a connection under test.
type host struct {
	*testing.T
	transport.Conn
	// another makes one more connection to the same host.
	another func(t *testing.T) transport.Conn
}

// do runs steps whose connection must work.
func (h *host) do(steps ...transport.Step) []transport.Result {
	h.T.Helper()
	results, err := h.Do(h.Context(), steps...)
	if err != nil {
		h.T.Fatalf("Do: %v", err)
	}
	for i, r := range results {
		if r.Key != steps[i].Key {
			h.T.Fatalf("result %d has key %q, its step %q", i, r.Key, steps[i].Key)
		}
	}
	return results
}

// sh runs a program that must succeed and gives its output without the last newline.
func (h *host) sh(program string, args ...string) string {
	h.T.Helper()
	r := h.do(transport.Step{Shell: program, Argv: args})[0]
	if r.Err != nil {
		h.T.Fatalf("%s: %v", program, r.Err)
	}
	return strings.TrimSuffix(string(r.Stdout), "\n")
}

// folder makes a folder that belongs to user.
func (h *host) folder(user string) string {
	h.T.Helper()
	return h.sh(`d=$(mktemp -d /var/tmp/suite-XXXXXX) && chown "$1" "$d" && chmod 755 "$d" && echo "$d"`, user)
}

func (h *host) equal(what, got, want string) {
	h.T.Helper()
	if got != want {
		h.T.Errorf("%s: got %q, want %q", what, clip(got), clip(want))
	}
}

func clip(s string) string {
	if len(s) > 400 {
		return s[:200] + "…" + s[len(s)-200:]
	}
	return s
}

func (h *host) is(what string, err, class error) {
	h.T.Helper()
	if !errors.Is(err, class) {
		h.T.Errorf("%s: got error %v, want %v", what, err, class)
	}
}

func testOrder(t *testing.T, h *host) {
	f := h.folder("root") + "/log"
	steps := []transport.Step{}
	for _, n := range []string{"1", "2", "3", "4"} {
		steps = append(steps, transport.Step{Key: n, Shell: `echo "$1" >>"$2"; echo out "$1"; echo err "$1" >&2`, Argv: []string{n, f}})
	}
	steps = append(steps, transport.Step{Key: "cat", Argv: []string{"cat", f}})
	for i, r := range h.do(steps...) {
		if i < 4 {
			h.equal("stdout", string(r.Stdout), "out "+r.Key+"\n")
			h.equal("stderr", string(r.Stderr), "err "+r.Key+"\n")
			continue
		}
		h.equal("log", string(r.Stdout), "1\n2\n3\n4\n")
	}
	for i, r := range h.do(transport.Step{Argv: []string{"true"}}, transport.Step{Argv: []string{"printf", "no newline"}}, transport.Step{Argv: []string{"printf", "\n\n"}}) {
		h.equal("bytes", string(r.Stdout), []string{"", "no newline", "\n\n"}[i])
	}
	if results := h.do(); len(results) != 0 {
		t.Errorf("no steps gave %d results", len(results))
	}
}

func testWords(_ *testing.T, h *host) {
	every := make([]byte, 0, 255)
	for b := 1; b < 256; b++ {
		every = append(every, byte(b))
	}
	words := []string{"", " ", "a b", "\n", "a\n", "\n\na\n\n", "+x", ".x", "-n", "$HOME", "`id`", `\`, `\n`, `'`, `"`, "*", "ä€𝄞", "x\ty", "\r", string(every),
		strings.Repeat("long ", 20000), "S 1 0 1 c 1 0 -", "%s", "\x81\x82\x83\x84\x88\x98"}
	r := h.do(transport.Step{Shell: `for w; do printf "%s\0" "$w"; done`, Argv: words}, transport.Step{Argv: append([]string{"printf", `%s\0`}, words...)})
	for _, r := range r {
		h.equal("words", string(r.Stdout), strings.Join(words, "\x00")+"\x00")
	}
	h.equal("program", h.sh("# a 'comment' with \"quotes\", $dollars and `ticks`\n\nprintf '%s\\n' 'a\n\n b'\n"), "a\n\n b")
}

func testCodes(_ *testing.T, h *host) {
	for program, want := range map[string]int{"exit 0": 0, "exit 1": 1, "exit 3": 3, "exit 255": 255, "/no/such/command": 127, "kill -KILL $$": 137} {
		r := h.do(transport.Step{Shell: program, Probe: true})[0]
		var exit *transport.ExitError
		if r.Code != want || (want != 0) != errors.As(r.Err, &exit) || exit != nil && exit.Code != want {
			h.Errorf("%s: code %d, error %v", program, r.Code, r.Err)
		}
	}
	r := h.do(transport.Step{Argv: []string{"/no/such/command"}, Probe: true}, transport.Step{Argv: []string{"/etc/passwd"}, Probe: true})
	if r[0].Code != 127 || r[1].Code != 126 {
		h.Errorf("codes %d and %d, want 127 and 126", r[0].Code, r[1].Code)
	}
}

func testStop(t *testing.T, h *host) {
	f := h.folder("root") + "/ran"
	results := h.do(
		transport.Step{Key: "probe", Argv: []string{"false"}, Probe: true},
		transport.Step{Key: "missing", Read: f, Probe: true},
		transport.Step{Key: "fails", Argv: []string{"false"}},
		transport.Step{Key: "not this", Argv: []string{"touch", f}, Stdin: []byte("with input\nD 7\n")},
		transport.Step{Key: "nor this", Argv: []string{"touch", f}, Probe: true},
		transport.Step{Key: "nor that", Write: &transport.FileMeta{Path: f}, Stdin: []byte("x")},
	)
	if len(results) != 3 || results[2].Err == nil || results[1].Err == nil || results[0].Err == nil {
		t.Errorf("got %d results: %+v", len(results), results)
	}
	h.equal("ran", h.sh(`[ -e "$1" ] && echo yes || echo no`, f), "no")
	results = h.do(transport.Step{Read: f}, transport.Step{Argv: []string{"touch", f}})
	if len(results) != 1 {
		t.Errorf("a Read that is no probe did not stop the list: %+v", results)
	}
	h.equal("ran", h.sh(`[ -e "$1" ] && echo yes || echo no`, f), "no")
}

func testMistakes(t *testing.T, h *host) {
	f := h.folder("root") + "/ran"
	for name, bad := range map[string]transport.Step{
		"nothing":       {},
		"two things":    {Argv: []string{"true"}, Read: "/etc/passwd"},
		"zero byte":     {Argv: []string{"echo", "a\x00b"}},
		"relative":      {Read: "etc/passwd"},
		"not clean":     {Write: &transport.FileMeta{Path: "/etc/../etc/x"}},
		"option user":   {Argv: []string{"true"}, User: "-x"},
		"user of words": {Argv: []string{"true"}, User: "a b"},
		"option owner":  {Write: &transport.FileMeta{Path: "/etc/x", Owner: "--reference=/x"}},
		"huge word":     {Argv: []string{"echo", strings.Repeat("x", 200<<10)}},
	} {
		if _, err := h.Do(context.Background(), transport.Step{Argv: []string{"touch", f}}, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	h.equal("ran", h.sh(`[ -e "$1" ] && echo yes || echo no`, f), "no")
}
