package transporttest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// neighbours are steps of the connection's own user that follow each other. They may share processes on the host: nothing of that may be seen.
var neighbours = []suiteCase{
	{"neighbours do not meet", testApart},
	{"neighbours end each in their way", testTogether},
	{"neighbours of a failure", testTogetherStops},
	{"neighbours and limits", testTogetherLimits},
	{"neighbours' words", testTogetherWords},
	{"neighbours' left-over processes", testTogetherLeftOver},
	{"neighbours hide how their ends are told", testTogetherHides},
}

// testApart: what a step does to its shell and its surroundings does not reach the next one.
func testApart(_ *testing.T, h *host) {
	state := transport.Step{Key: "state", Shell: `echo "$#:$0:$1:$PWD:$(umask):$-"; echo "${IFS}${mine-unset}${exported-unset}${LANG-unset}"; trap; type made >/dev/null 2>&1 && echo made
command -v ls | grep -c / ; [ -z "${OLDPWD-}" ] || echo "$OLDPWD"; env | grep -v -e "^_=" -e ^SHLVL= | sort; echo "${many_nonce-}${many_sum-}${many_now-}"; cat; readlink /proc/self/fd/0; ls /proc/self/fd`, Argv: []string{"word"}}
	first := string(h.do(state)[0].Stdout)
	if !strings.HasPrefix(first, "1:sh:word:/:0022:") || !strings.Contains(first, "\nunsetunset") && !strings.Contains(first, "unsetunsetunset") {
		h.Errorf("a step begins with %q", first)
	}
	steps := []transport.Step{state}
	for _, spoil := range []string{
		`cd /etc; umask 077; mine=1; exported=1; LANG=de; export exported LANG; LC_ALL=de; IFS=x; set -- a b c; set -f; set -u; made() { :; }; ls() { :; }; alias cat=false`,
		`trap "echo late" EXIT; trap "" TERM INT; exec 3</etc/passwd 4>&1 <&- 2>&1; unset PATH HOME; OLDPWD=/x; cd /tmp; read -r x`,
		`printf() { :; }; exec() { :; }; eval() { :; }; exit() { :; }; trap - TERM; shift; PATH=/nowhere; export PATH; many_sum=100000 many_nonce=x; export many_nonce`,
		`set -e; trap "echo bye; trap - EXIT" EXIT; exec >/dev/null`,
		`readonly mine=1 IFS PATH; ulimit -n 20; set -C -a; exported=2`,
	} {
		steps = append(steps, transport.Step{Key: "spoil", Shell: spoil, Probe: true}, state)
	}
	for i, r := range h.do(steps...) {
		if r.Key == "state" {
			h.equal(fmt.Sprint("step ", i), string(r.Stdout), first)
		}
	}
}

// testTogether: each step's code, output and error are its own, whichever way it ends; a probe that fails stops nothing.
func testTogether(_ *testing.T, h *host) {
	for _, c := range []struct {
		name, program, out, errs string
		code                     int
	}{
		{"exit", `echo a; exit 3; echo b`, "a\n", "", 3},
		{"exec", `echo a; exec echo b`, "a\nb\n", "", 0},
		{"exec of nothing", `exec /no/such/command`, "", "/no/such/command", 127},
		{"syntax error", "echo a\nif fi\necho b", "a\n", "yntax error", 2},
		{"a quote without an end", "echo a\necho \"b", "a\n", "", 2},
		{"trap", `trap "echo bye" EXIT; echo a; exit 4`, "a\nbye\n", "", 4},
		{"trap and nothing else", `trap "echo bye" EXIT; /bin/echo a`, "a\nbye\n", "", 0},
		{"set -e", "set -e\nfalse\necho b", "", "", 1},
		{"return", `f() { return 5; }; f`, "", "", 5},
		{"errors only", `echo a >&2`, "", "a\n", 0},
		{"killed", `kill -KILL $$`, "", "", 137},
		{"a signal", `sh -c 'kill -USR2 $$'`, "", "", 140}, // not HUP, which nohup has everything below it ignore
		{"pipe", `echo y | cat`, "y\n", "", 0},
		{"closed", `echo a; exec >&- 2>&-`, "a\n", "", 0},
		{"comment", "# it's\n#", "", "", 0},
		{"no line end", `printf a`, "a", "", 0},
		{"a frame", `printf "\nABCDEFGHIJKLMNOPQRSTUVWXYZ E 1 0\n"; printf "\n B 1\n\n E 1 0\n\nX"`, "\nABCDEFGHIJKLMNOPQRSTUVWXYZ E 1 0\n\n B 1\n\n E 1 0\n\nX", "", 0},
	} {
		echo := func(n string) transport.Step { return transport.Step{Argv: []string{"echo", n}, Probe: true} }
		r := h.do(echo("1"), transport.Step{Shell: c.program, Probe: true}, echo("2"), transport.Step{Shell: c.program, Probe: true}, transport.Step{Shell: `echo "$1"; echo err >&2`, Argv: []string{"3"}})
		if len(r) != 5 {
			h.Errorf("%s: %d results", c.name, len(r))
			continue
		}
		for _, i := range []int{1, 3} {
			var exit *transport.ExitError
			same := r[i].Code == c.code || c.name == "a quote without an end" && r[i].Code != 0 // shells do not agree
			if !same || errors.As(r[i].Err, &exit) != (c.code != 0) || string(r[i].Stdout) != c.out || !strings.Contains(string(r[i].Stderr), c.errs) {
				h.Errorf("%s: %d %v, %q, %q", c.name, r[i].Code, r[i].Err, r[i].Stdout, r[i].Stderr)
			}
		}
		h.equal(c.name, string(r[0].Stdout)+string(r[2].Stdout)+string(r[4].Stdout)+string(r[4].Stderr), "1\n2\n3\nerr\n")
	}
}

// testTogetherStops: a step that fails and is no probe stops those beside it and those after them, also where it takes its shell along.
func testTogetherStops(_ *testing.T, h *host) {
	dir := h.folder("root")
	touch := func(name string) transport.Step {
		return transport.Step{Key: name, Shell: `touch "$1/$2"`, Argv: []string{dir, name}}
	}
	for _, bad := range []string{`exit 7`, `kill -KILL $$`, `kill -TERM $$`, `if fi`, `exec /no/such`, `trap "exit 8" EXIT`} {
		r := h.do(touch("a"), transport.Step{Argv: []string{"false"}, Probe: true}, touch("b"), transport.Step{Key: "bad", Shell: bad}, touch("c"), touch("d"),
			transport.Step{Argv: []string{"cat"}, Stdin: []byte("x")}, transport.Step{Argv: []string{"touch", dir + "/e"}, User: "postgres"}, touch("f"), touch("g"))
		if len(r) != 4 || r[3].Err == nil {
			h.Errorf("%s: %d results: %+v", bad, len(r), r)
		}
		h.equal(bad, h.sh(`cd "$1" && echo * && rm *`, dir), "a b")
	}
	// Of a probe that takes its shell along, those after it run all the same.
	die := transport.Step{Key: "dies", Shell: `echo a; echo b >&2; kill -KILL $$`, Probe: true}
	r := h.do(touch("a"), die, touch("b"), die, die, touch("c"), transport.Step{Argv: []string{"cat"}, Stdin: []byte("x")}, touch("d"), touch("e"))
	if len(r) != 9 || r[1].Code != 137 || r[3].Code != 137 || r[4].Code != 137 || string(r[4].Stdout) != "a\n" || !strings.HasPrefix(string(r[4].Stderr), "b\n") || string(r[6].Stdout) != "x" {
		h.Errorf("%d results: %+v", len(r), r)
	}
	h.equal("all ran once", h.sh(`cd "$1" && echo *`, dir), "a b c d e")
}

// testTogetherLimits: a limit ends the step that runs then, the others keep theirs.
func testTogetherLimits(t *testing.T, h *host) {
	log := func(h *host) (dir string, mark func(string) transport.Step) {
		dir = h.folder("root")
		return dir, func(name string) transport.Step {
			return transport.Step{Key: name, Shell: `echo "$2" >>"$1/log"; echo "$2"`, Argv: []string{dir, name}, Limit: time.Second}
		}
	}
	hang := transport.Step{Key: "hangs", Shell: `echo begun; echo err >&2; sleep 300; echo no`, Limit: time.Second}
	input := transport.Step{Key: "input", Argv: []string{"cat"}, Stdin: []byte("x")}
	var wg sync.WaitGroup
	for name, run := range map[string]func(*host){
		"a probe": func(h *host) {
			dir, mark := log(h)
			probe := hang
			probe.Probe = true
			r := h.do(mark("a"), probe, mark("b"), input, mark("c"), mark("d"))
			if len(r) != 6 {
				h.Fatalf("%d results: %+v", len(r), r)
			}
			h.is("hangs", r[1].Err, transport.ErrLimit)
			h.equal("hangs", fmt.Sprintf("%d %s", r[1].Code, r[1].Stdout), "124 begun\n")
			if !strings.HasPrefix(string(r[1].Stderr), "err\n") {
				h.Errorf("errors: %q", r[1].Stderr)
			}
			h.equal("others", string(r[0].Stdout)+string(r[2].Stdout)+string(r[3].Stdout)+string(r[5].Stdout), "a\nb\nxd\n")
			h.equal("each ran once", h.sh(`cat "$1/log"`, dir), "a\nb\nc\nd")
		},
		"a change": func(h *host) {
			dir, mark := log(h)
			r := h.do(mark("a"), hang, mark("b"), input, mark("c"))
			if len(r) != 2 {
				h.Fatalf("a limit did not stop the list: %+v", r)
			}
			h.is("hangs", r[1].Err, transport.ErrLimit)
			h.equal("before", h.sh(`cat "$1/log"`, dir), "a")
		},
		"one that ignores TERM": func(h *host) {
			dir, mark := log(h)
			deaf := transport.Step{Key: "deaf", Shell: `trap "" TERM; (sleep 302; echo late >>"$1/log") & echo $! >"$1/pid"; sleep 302; sleep 303; echo late >>"$1/log"`, Argv: []string{dir},
				Limit: time.Second, Probe: true}
			r := h.do(mark("a"), deaf, input, mark("b"))
			if len(r) != 4 || r[1].Code != 137 {
				h.Fatalf("%+v", r)
			}
			h.is("ignores TERM", r[1].Err, transport.ErrLimit)
			h.equal("it is gone", h.sh(`kill -0 "$(cat "$1/pid")" 2>/dev/null && echo lives || echo ended; cat "$1/log"`, dir), "ended\na\nb")
		},
		"one that takes a neighbour's time": func(h *host) {
			r := h.do(transport.Step{Key: "slow", Shell: `sleep 5`, Limit: time.Second, Probe: true}, transport.Step{Key: "long", Shell: `sleep 2; echo done`, Limit: 4 * time.Second})
			if len(r) != 2 || string(r[1].Stdout) != "done\n" {
				h.Errorf("%+v", r)
			}
		},
	} {
		other := h.another(t)
		// All at once: they wait more than they work.
		wg.Go(func() { t.Run(name, func(t *testing.T) { run(&host{T: t, Conn: other}) }) })
	}
	wg.Wait()
}

// testTogetherWords: programs and words arrive as they are, short and long, many and once more.
func testTogetherWords(_ *testing.T, h *host) {
	words := []string{"", " ", "it's\n\n'", `"$1" ${2} \`, "`id` $(id)", "*", "-n", "%s", "ä€\x81\xff", strings.Repeat("long '\n", 3000), strings.Repeat("x", 199), strings.Repeat("x", 200)}
	show := `for w; do printf "%s\0" "$w"; done` + "\n# it's \"long\": " + strings.Repeat("'#", 200) + "\n"
	want := strings.Join(words, "\x00") + "\x00"
	var steps []transport.Step
	for i := range 12 {
		steps = append(steps, transport.Step{Shell: show, Argv: append(words, strings.Repeat(fmt.Sprint(i%10), 300))}, transport.Step{Argv: append([]string{"printf", `%s\0`}, words...), Probe: true})
	}
	for range 2 {
		for i, r := range h.do(steps...) {
			expected := want
			if i%2 == 0 {
				expected += strings.Repeat(fmt.Sprint(i/2%10), 300) + "\x00"
			}
			h.equal(fmt.Sprint("step ", i), string(r.Stdout), expected)
		}
	}
	// More than can be passed on at once: in several parts.
	steps = nil
	for i := range 30 {
		steps = append(steps, transport.Step{Shell: fmt.Sprint("echo ${#1} ", i, " #", strings.Repeat("y", 60000)), Argv: []string{strings.Repeat(fmt.Sprint(i%10), 100000)}})
	}
	for i := range 700 {
		steps = append(steps, transport.Step{Argv: []string{"[", "a b", "=", "a b", "-o", strings.Repeat("z", 150), "=", fmt.Sprint(i), "]"}, Probe: true})
	}
	for i, r := range h.do(steps...) {
		if r.Err != nil || i < 30 && string(r.Stdout) != fmt.Sprintf("100000 %d\n", i) {
			h.Fatalf("step %d: %v %q", i, r.Err, r.Stdout)
		}
	}
}

// testTogetherLeftOver: a process that a step leaves behind with its output redirected lives on and holds up nobody.
func testTogetherLeftOver(_ *testing.T, h *host) {
	begin := time.Now()
	r := h.do(transport.Step{Shell: `sleep 400 </dev/null >/dev/null 2>&1 & echo $!`}, transport.Step{Argv: []string{"true"}, Probe: true}, transport.Step{Shell: `kill -0 "$1"`, Argv: []string{"1"}})
	pid := strings.TrimSpace(string(r[0].Stdout))
	h.equal("it lives on", h.sh(`kill -0 "$1" && echo yes; kill "$1"`, pid), "yes")
	if time.Since(begin) > 60*time.Second {
		h.Error("the result waited for a background process")
	}
}

// testTogetherHides: processes of other users see in neither arguments nor environment how the ends of steps are told.
func testTogetherHides(_ *testing.T, h *host) {
	// A nonce is 26 of A-Z and 2-7. Below the shells is whoever started them, in these tests.
	look := transport.Step{Shell: `p=$PPID; while read -r x name x up x <"/proc/$p/stat"; do case $name in "(sh)" | "(bash)" | "(busybox)" | "(timeout)" | "(setsid)") ;; *) break ;; esac
tr '\0' '\n' <"/proc/$p/cmdline"; tr '\0' '\n' <"/proc/$p/environ"; p=$up; done 2>/dev/null | grep -cE '(^|[^A-Z2-7])[A-Z2-7]{26}([^A-Z2-7]|$)'; env; set`, Probe: true}
	r := h.do(look, look)
	for _, r := range r {
		first, _, _ := strings.Cut(string(r.Stdout), "\n")
		h.equal("seen", first, "0")
		for _, word := range strings.FieldsFunc(string(r.Stdout), func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') }) {
			if len(word) == 26 {
				h.Errorf("seen: %s", word)
			}
		}
	}
}
