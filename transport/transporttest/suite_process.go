package transporttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// noise gives n bytes that look random and are the same every time.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func testStdin(_ *testing.T, h *host) {
	data := append([]byte("first\n\n\x00\xff.\n"), noise(3000)...)
	results := h.do(
		transport.Step{Argv: []string{"cat"}, Stdin: data},
		transport.Step{Argv: []string{"cat"}},
		transport.Step{Argv: []string{"dd", "bs=3", "count=1", "status=none"}, Stdin: data},
		transport.Step{Argv: []string{"true"}, Stdin: noise(1 << 20)},
		transport.Step{Shell: `exec <&-; echo closed`, Stdin: noise(1 << 20)},
		transport.Step{Shell: `IFS= read -r a; echo "$a"; exec cat`, Stdin: data},
		transport.Step{Argv: []string{"cat", "/dev/stdin"}, Stdin: data},
		transport.Step{Argv: []string{"cat"}, User: "postgres", Stdin: data},
	)
	for i, want := range []string{string(data), "", "fir", "", "closed\n", string(data), string(data), string(data)} {
		h.equal("output", string(results[i].Stdout), want)
	}
}

func testLarge(_ *testing.T, h *host) {
	data := noise(20 << 20)
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	results := h.do(
		transport.Step{Argv: []string{"cat"}, Stdin: data},
		transport.Step{Argv: []string{"sha256sum"}, Stdin: data},
		transport.Step{Shell: `dd if=/dev/zero bs=1048576 count=20 2>/dev/null & dd if=/dev/zero of=/dev/stderr bs=1048576 count=20 status=none; wait`},
		transport.Step{Argv: []string{"echo", "next"}},
	)
	if !bytes.Equal(results[0].Stdout, data) {
		h.Error("20 MiB came back changed")
	}
	h.equal("sum", strings.Fields(string(results[1].Stdout))[0], sum)
	if len(results[2].Stdout) != 20<<20 || len(results[2].Stderr) != 20<<20 {
		h.Errorf("%d and %d bytes came, want 20 MiB on each stream", len(results[2].Stdout), len(results[2].Stderr))
	}
	h.equal("next", string(results[3].Stdout), "next\n")
}

func testLimits(_ *testing.T, h *host) {
	dir := h.folder("root")
	results := h.do(
		transport.Step{Key: "sleeps", Shell: `echo before; sleep 300`, Limit: time.Second, Probe: true},
		transport.Step{Key: "as another user", Argv: []string{"sleep", "300"}, User: "postgres", Limit: 500 * time.Millisecond, Probe: true},
		transport.Step{Key: "has children", Shell: `(sleep 301; touch "$1/late") & echo $! >"$1/pid"; sleep 301; echo no`, Argv: []string{dir}, Stdin: []byte("alone"), Limit: time.Second, Probe: true},
		transport.Step{Key: "ignores TERM", Shell: `trap "" TERM; sleep 302; sleep 303`, Limit: time.Second, Probe: true},
	)
	for i, code := range []int{124, 124, 124, 137} {
		if results[i].Code != code {
			h.Errorf("%s: code %d, want %d", results[i].Key, results[i].Code, code)
		}
		h.is(results[i].Key, results[i].Err, transport.ErrLimit)
	}
	h.equal("output before", string(results[0].Stdout), "before\n")
	h.equal("grandchild", h.sh(`kill -0 "$(cat "$1/pid")" 2>/dev/null && echo lives || echo ended`, dir), "ended")
	if results := h.do(transport.Step{Argv: []string{"sleep", "300"}, Limit: time.Second}, transport.Step{Argv: []string{"true"}}); len(results) != 1 {
		h.Errorf("a limit did not stop the list: %+v", results)
	}
}

func testUsers(_ *testing.T, h *host) {
	groups := h.sh(`id -G postgres; grep ^postgres: /etc/passwd | cut -d: -f6`)
	r := h.do(
		transport.Step{Shell: `id -G; echo "$HOME"; echo "$USER $LOGNAME $(id -un)"; pwd; umask; cat`, User: "postgres", Stdin: []byte("in")},
		transport.Step{Shell: `echo "$HOME $USER $(id -un) $LC_ALL"; pwd; umask`},
		transport.Step{Argv: []string{"ls", "-d", "/"}, User: "postgres"},
		transport.Step{Argv: []string{"touch", "/etc/by-postgres"}, User: "postgres", Probe: true},
		transport.Step{Argv: []string{"touch", "/etc/by-nobody"}, User: "no-such-user", Probe: true},
		transport.Step{Argv: []string{"id", "-un"}, User: "postgres"},
	)
	h.equal("postgres", string(r[0].Stdout), groups+"\npostgres postgres postgres\n/\n0022\nin")
	h.equal("root", string(r[1].Stdout), "/root root root C\n/\n0022\n")
	h.equal("options", string(r[2].Stdout), "/\n")
	if r[3].Err == nil || r[4].Err == nil {
		h.Errorf("postgres may write to /etc (%v), or a user that is not there may (%v)", r[3].Err, r[4].Err)
	}
	if !strings.Contains(string(r[4].Stderr), "no-such-user") {
		h.Errorf("the missing user is not named: %q", r[4].Stderr)
	}
	h.equal("again", string(r[5].Stdout), "postgres\n")
	h.equal("traces", h.sh(`ls /etc | grep by- || echo none`), "none")
}

// testLeftOver: what a step leaves behind neither delays its result nor mixes into a later one when its output is redirected.
func testLeftOver(_ *testing.T, h *host) {
	begin := time.Now()
	r := h.do(
		transport.Step{Shell: `sleep 400 </dev/null >/dev/null 2>&1 & echo $!`},
		transport.Step{Shell: `sleep 400 & echo $!`},
		transport.Step{Argv: []string{"echo", "next"}},
	)
	h.equal("next", string(r[2].Stdout), "next\n")
	if time.Since(begin) > 60*time.Second {
		h.Error("the result waited for a background process")
	}
	for _, r := range r[:2] {
		h.sh(`kill "$1"`, strings.TrimSpace(string(r.Stdout)))
	}
	spool := h.sh(`ls -A /dev/shm /run /tmp | grep -c pgfleet || :`)
	h.equal("files left", spool, "0")
}

func testConcurrent(_ *testing.T, h *host) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			text := fmt.Sprint("n", i)
			results, err := h.Do(h.Context(), transport.Step{Key: text, Argv: []string{"echo", text}}, transport.Step{Key: text, Argv: []string{"cat"}, Stdin: []byte(text)})
			if err != nil || len(results) != 2 || string(results[0].Stdout) != text+"\n" || string(results[1].Stdout) != text {
				h.Errorf("%s: %+v %v", text, results, err)
			}
		})
	}
	wg.Wait()
}

const tlsServer = `cd "$1" && openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=suite -days 2 2>/dev/null &&
openssl s_server -accept 127.0.0.1:5999 -key k -cert c -quiet </dev/null >/dev/null 2>&1 & echo $!`

func testDial(t *testing.T, h *host) {
	pid := h.sh(tlsServer, h.folder("root"))
	defer h.sh(`kill "$1"`, pid)
	h.sh(`i=0; while [ $i -lt 100 ]; do grep -q ":176F " /proc/net/tcp && exit 0; sleep 0.1; i=$((i+1)); done; exit 1`)
	conn, err := h.Dial(t.Context(), "tcp", "127.0.0.1:5999")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := client.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	h.equal("server", client.ConnectionState().PeerCertificates[0].Subject.CommonName, "suite")
	if _, err := h.Dial(t.Context(), "tcp", "127.0.0.1:5998"); err == nil || errors.Is(err, transport.ErrForwarding) {
		t.Errorf("a port where nobody listens: %v", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = conn.Read(make([]byte, 1<<16))
	}
}

func testCancel(t *testing.T, h *host) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	begin := time.Now()
	results, err := h.Do(ctx, transport.Step{Argv: []string{"true"}}, transport.Step{Argv: []string{"sleep", "45"}})
	if err == nil || !errors.Is(err, context.Canceled) || !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if len(results) > 1 {
		t.Errorf("got %d results", len(results))
	}
	if time.Since(begin) > 30*time.Second {
		t.Errorf("the call ended after %v only", time.Since(begin))
	}
	if _, err := h.Do(t.Context(), transport.Step{Argv: []string{"true"}}); !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("after a cancelled call: %v", err)
	}
}

func testClose(t *testing.T, h *host) {
	h.sh("true")
	h.Close()
	h.Close()
	if _, err := h.Do(t.Context(), transport.Step{Argv: []string{"true"}}); !errors.Is(err, transport.ErrUnreachable) {
		t.Errorf("after Close: %v", err)
	}
	h.Conn = nil
}
