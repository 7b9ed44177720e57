package ssh

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// wire is a connection that breaks after so many bytes in one direction: closed, or silent for ever.
type wire struct {
	net.Conn
	mu                sync.Mutex
	written, read     int
	maxWrite, maxRead int
	silent            bool
	closed            chan struct{}
	once              sync.Once
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// take says how many of n more bytes may pass.
func (w *wire) take(count, limit *int, n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *limit > 0 {
		n = min(n, max(0, *limit-*count))
	}
	*count += n
	return n
}

func (w *wire) over() (int, error) {
	if w.silent {
		<-w.closed
	} else {
		w.Close()
	}
	return 0, net.ErrClosed
}

func (w *wire) Write(b []byte) (int, error) {
	n := w.take(&w.written, &w.maxWrite, len(b))
	if n > 0 {
		if n, err := w.Conn.Write(b[:n]); err != nil {
			return n, err
		}
	}
	if n < len(b) {
		return w.over()
	}
	return n, nil
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.take(&w.read, &w.maxRead, n) < n {
		return w.over()
	}
	return n, err
}

// breaking dials through a wire and gives it back.
func (s *server) breaking(maxWrite, maxRead int, silent bool) (Options, *wire) {
	w := &wire{maxWrite: maxWrite, maxRead: maxRead, silent: silent, closed: make(chan struct{})}
	return Options{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := s.options().Dialer(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w.Conn = c
		return w, nil
	}}, w
}

const logged = `n=$(wc -c); echo "$1 $n" >>/root/log; exit "$2"`

// walked is a batch with a failure: whatever happens, "d" is never logged, and nothing is logged with a part of its input.
func walked() []transport.Step {
	return []transport.Step{
		{Shell: logged, Argv: []string{"a", "0"}, Stdin: []byte(strings.Repeat("a", 1000))},
		{Shell: logged, Argv: []string{"b", "1"}, Stdin: []byte(strings.Repeat("b", 100000)), Probe: true},
		{Write: &transport.FileMeta{Path: "/root/file1"}, Stdin: []byte(strings.Repeat("1", 50000))},
		{Write: &transport.FileMeta{Path: "/root/file2"}, Stdin: []byte(strings.Repeat("2", 50000))},
		{Shell: logged, Argv: []string{"c", "1"}, Stdin: []byte(strings.Repeat("c", 1000))},
		{Shell: logged, Argv: []string{"d", "0"}, Stdin: []byte("d")},
	}
}

// quiet waits until no shell of an earlier connection runs.
func (s *server) quiet() {
	s.t.Helper()
	for range 200 {
		if s.Shell(`pgrep -x sudo >/dev/null && echo busy || echo quiet`) == "quiet" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("a shell outlived its connection: ", s.Shell("ps axf"))
}

func TestCutAnywhere(t *testing.T) {
	s := newServer(t)
	run := func(maxWrite, maxRead int, silent bool) (*wire, int, error) {
		s.Shell("rm -f /root/log /root/file*")
		opt, w := s.breaking(maxWrite, maxRead, silent)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if silent {
			ctx, cancel = context.WithTimeout(t.Context(), 400*time.Millisecond)
		}
		defer cancel()
		c, err := Dial(ctx, s.target, opt)
		if err != nil {
			return w, 0, err
		}
		defer c.Close()
		results, err := c.Do(ctx, walked()...)
		return w, len(results), err
	}
	whole, n, err := run(0, 0, false)
	if err != nil || n != 5 {
		t.Fatal(n, err)
	}
	whole.mu.Lock()
	written, read := whole.written, whole.read
	whole.mu.Unlock()
	complete := "a 1000\nb 100000\nc 1000"
	check := func(what string, n int, err error) {
		s.quiet()
		log := s.Shell("cat /root/log 2>/dev/null || :")
		if !strings.HasPrefix(complete, log) {
			t.Errorf("%s: log %q", what, log)
		}
		files := s.Shell(`cd /root; for f in 1 2; do [ -e file$f ] && wc -c <file$f || echo none; done`)
		if files != "none\nnone" && files != "50000\nnone" && files != "50000\n50000" {
			t.Errorf("%s: files %q", what, files)
		}
		if err == nil && n != 5 || err != nil && !errors.Is(err, transport.ErrUnreachable) {
			t.Errorf("%s: %d results, %v", what, n, err)
		}
		if err != nil && (errors.Is(err, transport.ErrNotExist) || errors.Is(err, transport.ErrAuth) || errors.Is(err, transport.ErrHostKey)) {
			t.Errorf("%s: a cut reads as %v", what, err)
		}
	}
	points := 24
	for i := 1; i < points; i++ {
		_, n, err := run(written*i/points, 0, false)
		check("cut while sending", n, err)
		_, n, err = run(0, read*i/points, false)
		check("cut while receiving", n, err)
	}
	for i := 1; i < points; i += 3 {
		_, n, err := run(written*i/points, 0, true)
		check("silent while sending", n, err)
		_, n, err = run(0, read*i/points, true)
		check("silent while receiving", n, err)
	}
}

// TestSilence: a host that answers no more is given up after three keepalives, without a deadline from above.
func TestSilence(t *testing.T) {
	s := newServer(t)
	s.target.KeepAlive = 500 * time.Millisecond
	opt, w := s.breaking(0, 0, true)
	c, err := Dial(t.Context(), s.target, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do(t.Context(), transport.Step{Argv: []string{"sleep", "1"}}); err != nil {
		t.Fatalf("keepalives ended a connection that works: %v", err)
	}
	w.mu.Lock()
	w.maxWrite, w.maxRead = w.written, w.read
	w.mu.Unlock()
	_, err = c.Do(t.Context(), transport.Step{Argv: []string{"true"}})
	fails(t, "silence", err, transport.ErrUnreachable, "no answer")
}

// TestNothingIsLeft: after connections that worked, failed and were cancelled, no goroutine is left.
func TestNothingIsLeft(t *testing.T) {
	s := newServer(t)
	before := runtime.NumGoroutine()
	for range 3 {
		c, err := Dial(t.Context(), s.target, s.options())
		if err != nil {
			t.Fatal(err)
		}
		c.Do(t.Context(), walked()...)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		c.Do(ctx, transport.Step{Argv: []string{"sleep", "3"}})
		cancel()
		c.Close()
		target := s.target
		target.User = "never"
		s.try(t, target, Options{})
		target.User = "no-such-user"
		s.try(t, target, Options{})
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := Dial(ctx, s.target, s.options()); err == nil {
			t.Error("a login within 5 ms")
		}
		cancel()
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b := make([]byte, 1<<16)
	t.Errorf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
}
