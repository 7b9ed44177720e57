package shell

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// Grace is how long after a step's limit (and the 5 s after which the host kills it) its end is waited for.
const Grace = 15 * time.Second

// Pipes are the three ends of a running Bootstrap. Close ends it and unblocks reads and writes; it may be called twice.
type Pipes struct {
	In       io.Writer
	Out, Err io.Reader
	Close    func() error
}

// Host is what the program found out about its host when it began.
type Host struct {
	// UID and User act when a step names no user.
	UID  int
	User string
	// SFTP is the path of its sftp-server, "" when there is none in the usual places.
	SFTP string
	// Tools names the ways found to read an exact number of bytes, to limit a step, and to act as another user.
	Tools string
	// Switcher is the last of them: setpriv, runuser, su or none.
	Switcher string
}

// StartError is a Bootstrap that ended, or printed something else, before the program had said that it runs.
type StartError struct {
	// Stdout and Stderr are what came instead.
	Stdout, Stderr []byte
	Cause          error
}

// Error shows the last line that came.
func (e *StartError) Error() string {
	text := strings.TrimSpace(string(e.Stderr) + "\n" + string(e.Stdout))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if text == "" {
		return fmt.Sprintf("start the shell: %v", e.Cause)
	}
	return fmt.Sprintf("start the shell: %v: %q", e.Cause, text)
}

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Cause }

// Session is one running program. It is safe for use by several goroutines; their batches queue.
type Session struct {
	pipes  Pipes
	nonce  string
	turn   chan struct{}
	frames chan streamFrame
	closed chan struct{}
	once   sync.Once
	cause  error
	next   int
	// token ends each batch; sent are the words that the host has: who holds turn may use them.
	token string
	sent  sent
	// own is the user who acts when a step names none.
	own string
	// ahead is the batch that went with the program, until the first Run has waited for it; early are frames of it that came before the program's first line had
	// come on both streams.
	ahead *batch
	early []streamFrame
}

// streamFrame is a frame, or the end (err), of standard output (0) or standard error (1).
type streamFrame struct {
	stream int
	frame  Frame
	rest   []byte
	err    error
}

// Start sends the program through pipes, on whose other end Bootstrap runs, and waits until it answers. The error is a
// *StartError when something else answered, or ctx's; the pipes are closed then. Steps of ahead go with the program and run as soon as it does; the first
// Run, with the same steps, gives their results. They are probes and no writes, and nothing in them is secret: it is not known yet who reads them.
func Start(ctx context.Context, pipes Pipes, ahead ...transport.Step) (*Session, Host, error) {
	if err := checkAhead(ahead); err != nil {
		_ = pipes.Close()
		return nil, Host{}, err
	}
	s := &Session{pipes: pipes, nonce: rand.Text(), token: rand.Text(), sent: sent{}, turn: make(chan struct{}, 1), frames: make(chan streamFrame), closed: make(chan struct{})}
	go s.read(0, pipes.Out)
	go s.read(1, pipes.Err)
	var text []byte
	if len(ahead) > 0 {
		s.ahead = newBatch(slices.Clone(ahead), 0, "")
		s.next = len(ahead) + 1
		text = s.ahead.lines(s.sent)
	}
	go s.write(preamble(s.nonce, s.token, text))
	host, err := s.hello(ctx)
	if err != nil {
		s.end(err)
		return nil, Host{}, err
	}
	s.own = host.User
	return s, host, nil
}

// mostWritten is how many bytes are written at once. What carries them keeps room for the most that it was given, twice, for as long as the connection lives.
const mostWritten = 8 << 10

func (s *Session) write(b []byte) {
	for part := range slices.Chunk(b, mostWritten) {
		if _, err := s.pipes.In.Write(part); err != nil {
			// The streams say more about the reason: give them the time to end by themselves.
			select {
			case <-s.closed:
			case <-time.After(2 * time.Second):
				s.end(fmt.Errorf("%w: write: %w", transport.ErrUnreachable, err))
			}
			return
		}
	}
}

func (s *Session) read(stream int, r io.Reader) {
	parser := NewParser(s.nonce)
	// Two of them wait for as long as the connection lives, and a run keeps every host's: they are small.
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		frames, bad := parser.Feed(buf[:n])
		for _, f := range frames {
			if !s.pass(streamFrame{stream: stream, frame: f}) {
				return
			}
		}
		if bad != nil {
			err = bad
		}
		if err != nil {
			s.pass(streamFrame{stream: stream, rest: parser.Rest(), err: err})
			return
		}
	}
}

func (s *Session) pass(f streamFrame) bool {
	select {
	case s.frames <- f:
		return true
	case <-s.closed:
		return false
	}
}

// hello waits for the program's first line on both streams.
func (s *Session) hello(ctx context.Context) (Host, error) {
	var text [2]string
	var rest [2][]byte
	open := 2
	for {
		select {
		case <-ctx.Done():
			return Host{}, ctx.Err()
		case <-s.closed:
			return Host{}, &StartError{rest[0], rest[1], s.cause}
		case f := <-s.frames:
			switch {
			case f.err != nil:
				rest[f.stream] = f.rest
				if open--; open == 0 || errors.Is(f.err, errFlood) || text[0] != "" || text[1] != "" {
					return Host{}, &StartError{rest[0], rest[1], noEOF(f.err)}
				}
			case f.frame.Kind != 'H' && s.ahead != nil && text[f.stream] != "":
				s.early = append(s.early, f)
			case f.frame.Kind != 'H':
				return Host{}, &StartError{Cause: fmt.Errorf("unexpected frame %c: %s", f.frame.Kind, f.frame.Text)}
			default:
				text[f.stream] = f.frame.Text
				if text[0] != "" && text[1] != "" {
					return parseHost(text[0])
				}
			}
		}
	}
}

// noEOF names the end of a stream, which io.EOF alone does not.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the remote shell ended")
	}
	return err
}

// parseHost reads "1 <uid> <getter> <limiter> <switcher> <sftp> <user>".
func parseHost(text string) (Host, error) {
	var version, uid int
	var getter, limiter, switcher, sftp, user string
	_, err := fmt.Sscan(text, &version, &uid, &getter, &limiter, &switcher, &sftp, &user)
	if err != nil || version != 1 {
		return Host{}, &StartError{Cause: fmt.Errorf("unexpected greeting %q", text)}
	}
	if sftp == "none" {
		sftp = ""
	}
	return Host{UID: uid, User: user, SFTP: sftp, Tools: getter + " " + limiter + " " + switcher, Switcher: switcher}, nil
}

// end closes the session for good; the first cause stays.
func (s *Session) end(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.closed)
		_ = s.pipes.Close()
	})
}

// Close ends the session. What runs on the host ends with its limit.
func (s *Session) Close() error {
	s.end(fmt.Errorf("%w: the connection was closed", transport.ErrUnreachable))
	return nil
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.closed }
