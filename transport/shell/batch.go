package shell

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// batch is the state of one Run: what has come for each step.
type batch struct {
	steps   []transport.Step
	first   int
	begun   []time.Time
	took    []time.Duration
	code    []int
	output  [2][][]byte
	done    [2]bool
	results []transport.Result
	// running is the step whose begin was seen last and whose end was not, -1 for none.
	running int
	// own is the connection's user; steps of that user that follow each other share a limiter (group.go), unless apart.
	own   string
	apart bool
	spans []span
	// cut: the streams on which a group has said that it broke; tail is what came on standard error before; over the step that ran then, -1 for none.
	cut  [2]bool
	tail []byte
	over int
}

// Run sends steps as one batch and returns what transport.Conn's Do returns. Writes go through the shell. Steps that went with the program are waited for,
// not sent again.
func (s *Session) Run(ctx context.Context, steps []transport.Step) ([]transport.Result, error) {
	if err := Check(steps); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.turn }()
	if b := s.ahead; b != nil {
		s.ahead = nil
		results, err := s.results(ctx, b)
		switch {
		case reflect.DeepEqual(b.steps, steps):
			return results, err
		case err != nil:
			return nil, err
		}
	}
	return s.results(ctx, s.send(steps, false))
}

// results waits for a batch's end, and sends once more what a group that broke has left.
func (s *Session) results(ctx context.Context, b *batch) ([]transport.Result, error) {
	err := s.wait(ctx, b)
	left := b.left()
	if err != nil || len(left) == 0 {
		return b.results, err
	}
	rest := s.send(left, true)
	err = s.wait(ctx, rest)
	return append(b.results, rest.results...), err
}

func (s *Session) send(steps []transport.Step, apart bool) *batch {
	b := newBatch(steps, s.next, s.own)
	b.apart = apart
	s.next += len(steps) + 1
	go s.write(b.encode(s.sent, s.token))
	return b
}

func (s *Session) wait(ctx context.Context, b *batch) error {
	for !b.done[0] || !b.done[1] {
		if err := s.step(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) lock(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", transport.ErrUnreachable, ctx.Err())
	case <-s.closed:
		return s.cause
	case s.turn <- struct{}{}:
	}
	select {
	case <-s.closed:
		<-s.turn
		return s.cause
	default:
		return nil
	}
}

// step waits for one frame and files it, or ends the session.
func (s *Session) step(ctx context.Context, b *batch) error {
	if len(s.early) > 0 {
		f := s.early[0]
		s.early[0] = streamFrame{} // what it holds is not kept as long as the connection
		s.early = s.early[1:]
		if err := b.file(f); err != nil {
			s.end(err)
			return err
		}
		return nil
	}
	var late <-chan time.Time
	if b.running >= 0 {
		span := b.spans[b.running]
		timer := time.NewTimer(time.Until(b.begun[span.first].Add(span.limit + Grace)))
		defer timer.Stop()
		late = timer.C
	}
	var cause error
	select {
	case <-ctx.Done():
		cause = fmt.Errorf("%w: stopped in the middle: %w", transport.ErrUnreachable, ctx.Err())
	case <-late:
		cause = fmt.Errorf("%w: %s did not end: %w", transport.ErrUnreachable, b.steps[b.running].Name(), transport.ErrLimit)
	case <-s.closed:
		return s.cause
	case f := <-s.frames:
		if cause = b.file(f); cause == nil {
			return nil
		}
	}
	s.end(cause)
	return cause
}

func newBatch(steps []transport.Step, first int, own string) *batch {
	n := len(steps)
	return &batch{steps: steps, first: first, begun: make([]time.Time, n), took: make([]time.Duration, n), code: make([]int, n),
		output: [2][][]byte{make([][]byte, n), make([][]byte, n)}, running: -1, own: own, spans: make([]span, n), over: -1}
}

// encode gives what is sent: the number of bytes that follow, and the batch's lines, of which the last is the token.
func (b *batch) encode(words sent, token string) []byte {
	lines := fmt.Appendf(b.lines(words), "# %s\n", token)
	return append(fmt.Appendf(nil, "%d\n", len(lines)), lines...)
}

// lines are the long words that the host does not know yet, the steps, and the batch's end.
func (b *batch) lines(words sent) []byte {
	var head, steps []byte
	for i := 0; i < len(b.steps); {
		var n int
		if n, head, steps = b.appendGroup(words, head, steps, i); n > 0 {
			i += n
			continue
		}
		b.spans[i] = span{i, b.limit(i)}
		head, steps = words.appendStep(head, steps, b.first+i, b.steps[i])
		i++
	}
	steps = fmt.Appendf(steps, "finish %d\n", b.first+len(b.steps))
	return append(head, steps...)
}

// file takes one frame; the error ends the session.
func (b *batch) file(f streamFrame) error {
	if f.err != nil {
		return fmt.Errorf("%w: connection lost: %w", transport.ErrUnreachable, noEOF(f.err))
	}
	i := f.frame.ID - b.first
	switch {
	case f.frame.Kind == 'F':
		return fmt.Errorf("%w: the host's shell gave up: %s", transport.ErrUnreachable, f.frame.Text)
	case f.frame.Kind == 'D' && i == len(b.steps):
		b.done[f.stream] = true
	case f.frame.Kind == 'B' && i >= 0 && i < len(b.steps):
		if f.stream == 0 {
			b.begun[i], b.running = time.Now(), i
		}
	case f.frame.Kind == 'E' && i >= 0 && i < len(b.steps):
		b.ended(f, i)
	case f.frame.Kind == 'X' && i >= 0 && i < len(b.steps):
		b.broke(f)
	default:
		return fmt.Errorf("%w: unexpected frame %c %d", transport.ErrUnreachable, f.frame.Kind, f.frame.ID)
	}
	return nil
}

// ended keeps a step's output of one stream, and its result once both are there.
func (b *batch) ended(f streamFrame, i int) {
	b.output[f.stream][i] = f.frame.Before
	if b.output[f.stream][i] == nil {
		b.output[f.stream][i] = []byte{}
	}
	if f.stream == 0 {
		b.code[i], b.running = f.frame.Code, -1
		b.took[i] = time.Since(b.begun[i])
	}
	b.collect()
}

// collect makes the results of the steps, in order, of which both streams are there.
func (b *batch) collect() {
	for n := len(b.results); n < len(b.steps) && b.output[0][n] != nil && b.output[1][n] != nil; n++ {
		b.results = append(b.results, finish(b.steps[n], b.code[n], b.output[0][n], b.output[1][n], b.took[n], b.limit(n)))
	}
}
