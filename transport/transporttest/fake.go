package transporttest

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"

	"github.com/pgfleet/pgfleet/transport"
)

// Fake is a connection whose answers are written down. A step that nobody has written an answer for ends the test.
type Fake struct {
	tb testing.TB

	mu      sync.Mutex
	answers []answer
	steps   []transport.Step
	calls   int
	closed  bool
}

type answer struct {
	match func(transport.Step) bool
	reply func(transport.Step) transport.Result
	once  bool
	used  bool
}

// NewFake makes a Fake that knows no step. Answers given with Once must all have been asked for when the test ends.
func NewFake(tb testing.TB) *Fake {
	f := &Fake{tb: tb}
	tb.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, a := range f.answers {
			if a.once && !a.used && !tb.Failed() {
				tb.Errorf("fake: answer %d was never asked for", i+1)
			}
		}
	})
	return f
}

// Key answers every step with this key.
func (f *Fake) Key(key string, r transport.Result) *Fake {
	return f.Func(func(s transport.Step) bool { return s.Key == key }, func(transport.Step) transport.Result { return r })
}

// Argv answers every step with exactly these words.
func (f *Fake) Argv(r transport.Result, words ...string) *Fake {
	return f.Func(func(s transport.Step) bool { return s.Shell == "" && reflect.DeepEqual(s.Argv, words) },
		func(transport.Step) transport.Result { return r })
}

// Func answers every step that match accepts. Of several that do, the first that is not used up answers.
func (f *Fake) Func(match func(transport.Step) bool, reply func(transport.Step) transport.Result) *Fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, answer{match: match, reply: reply})
	return f
}

// Once makes the answer given last good for one step only, which must come.
func (f *Fake) Once() *Fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[len(f.answers)-1].once = true
	return f
}

// Exit is a result with an exit code other than 0.
func Exit(code int, stderr string) transport.Result {
	return transport.Result{Code: code, Stderr: []byte(stderr), Err: &transport.ExitError{Code: code, Stderr: []byte(stderr)}}
}

// Output is a result with standard output.
func Output(text string) transport.Result { return transport.Result{Stdout: []byte(text)} }

// Steps gives every step that ran, in order.
func (f *Fake) Steps() []transport.Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]transport.Step(nil), f.steps...)
}

// Calls is how often Do was called.
func (f *Fake) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Do answers steps up to the first that fails and is no probe.
func (f *Fake) Do(ctx context.Context, steps ...transport.Step) ([]transport.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.closed {
		return nil, fmt.Errorf("%w: the connection was closed", transport.ErrUnreachable)
	}
	var results []transport.Result
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return results, fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
		}
		f.steps = append(f.steps, s)
		r, known := f.answer(s)
		if !known {
			f.tb.Errorf("fake: no answer for step %s: %+v", s.Name(), s)
			return results, fmt.Errorf("%w: fake: no answer for step %s", transport.ErrUnreachable, s.Name())
		}
		r.Key = s.Key
		results = append(results, r)
		if r.Err != nil && !s.Probe {
			break
		}
	}
	return results, nil
}

func (f *Fake) answer(s transport.Step) (transport.Result, bool) {
	for i := range f.answers {
		a := &f.answers[i]
		if a.once && a.used || !a.match(s) {
			continue
		}
		a.used = true
		return a.reply(s), true
	}
	return transport.Result{}, false
}

// Dial is not answered.
func (f *Fake) Dial(_ context.Context, network, addr string) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s %s: %w", network, addr, transport.ErrForwarding)
}

// Close closes.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}
