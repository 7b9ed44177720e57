package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Exec runs argv as root in a host, named or by its short name. An error means that it could not be run, or ctx ended it; a code other
// than 0 is none.
func (l *Lab) Exec(ctx context.Context, host string, argv []string, stdin io.Reader) (Output, error) {
	var stdout, stderr bytes.Buffer
	code, err := l.Run(ctx, host, Command{Argv: argv, Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	return Output{stdout.String(), stderr.String(), code}, err
}

// Run is Exec with the caller's own files.
func (l *Lab) Run(ctx context.Context, host string, c Command) (code int, err error) {
	h, err := l.known(host)
	if err != nil {
		return 0, err
	}
	conn, err := dialAt(l.state.path("run", h.Short))
	if errors.Is(err, unix.ECONNREFUSED) {
		return 0, fmt.Errorf("reach %s: it is off; start it with: pgfleet-lab start %s", h.Short, h.Short)
	}
	if errors.Is(err, os.ErrPermission) {
		return 0, fmt.Errorf("reach %s: only root may: run it with sudo", h.Short)
	}
	if err != nil {
		return 0, fmt.Errorf("reach %s: %w", h.Short, err)
	}
	defer conn.Close()
	var p pipes
	defer p.close()
	files, err := p.open(c)
	if err != nil {
		return 0, err
	}
	if err := sendMessage(conn, runRequest{c.Argv}, files...); err != nil {
		return 0, fmt.Errorf("reach %s: %w", h.Short, err)
	}
	p.handOver()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var answer runAnswer
	if _, err := receiveMessage(conn, &answer); ctx.Err() != nil {
		return 0, fmt.Errorf("run %s on %s: %w", c.Argv[0], h.Short, context.Cause(ctx))
	} else if err != nil {
		return 0, fmt.Errorf("run %s on %s: the host ended: %w", c.Argv[0], h.Short, err)
	}
	p.drain()
	if answer.Error != "" {
		return 0, fmt.Errorf("run %s on %s: %s", c.Argv[0], h.Short, answer.Error)
	}
	return answer.Code, nil
}

// pipes connect readers and writers with the files that a host gets.
type pipes struct {
	given []*os.File // the host's ends, opened here
	kept  []*os.File // this end
	out   sync.WaitGroup
}

func (p *pipes) open(c Command) ([]*os.File, error) {
	in, err := p.input(c.Stdin)
	if err != nil {
		return nil, err
	}
	out, err := p.output(c.Stdout)
	if err != nil {
		return nil, err
	}
	errs, err := p.output(c.Stderr)
	return []*os.File{in, out, errs}, err
}

func (p *pipes) input(r io.Reader) (*os.File, error) {
	if f, ok := r.(*os.File); ok {
		return f, nil
	}
	if r == nil {
		return p.null()
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.given, p.kept = append(p.given, theirs), append(p.kept, ours)
	go func() {
		_, _ = io.Copy(ours, r)
		ours.Close()
	}()
	return theirs, nil
}

func (p *pipes) output(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	if w == nil {
		return p.null()
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.given, p.kept = append(p.given, theirs), append(p.kept, ours)
	p.out.Go(func() { _, _ = io.Copy(w, ours) })
	return theirs, nil
}

func (p *pipes) null() (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		p.given = append(p.given, f)
	}
	return f, err
}

// handOver closes what only the host uses from now on.
func (p *pipes) handOver() {
	for _, f := range p.given {
		f.Close()
	}
}

// drain waits for the last output. A server that the command has started may hold the pipe for ever: then 2 s are enough for what the command
// itself had written.
func (p *pipes) drain() {
	done := make(chan struct{})
	go func() {
		p.out.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		for _, f := range p.kept {
			_ = f.SetDeadline(time.Unix(1, 0))
		}
		<-done
	}
}

func (p *pipes) close() {
	p.handOver()
	for _, f := range p.kept {
		f.Close()
	}
	p.out.Wait()
}
