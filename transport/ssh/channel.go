package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// errRefused is a channel or command that the server does not allow: no more sessions (MaxSessions), a forced command.
var errRefused = errors.New("the server refuses another session")

// open opens a session channel and asks for command at once: what is written to it may travel with the request.
func (c *client) open(ctx context.Context, command string) (ssh.Channel, error) {
	type answer struct {
		ch       ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	got := make(chan answer, 1)
	go func() {
		ch, requests, err := c.OpenChannel("session", nil)
		got <- answer{ch, requests, err}
	}()
	var a answer
	select {
	case a = <-got:
	case <-ctx.Done():
		c.close(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	var refused *ssh.OpenChannelError
	if errors.As(a.err, &refused) {
		return nil, fmt.Errorf("%w: %w", errRefused, a.err)
	}
	if a.err != nil {
		return nil, c.lost(a.err)
	}
	go ssh.DiscardRequests(a.requests)
	go func() {
		ok, err := a.ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
		if err != nil || !ok {
			a.ch.Close()
		}
	}()
	return a.ch, nil
}

// watch passes bytes on and calls hit at each occurrence of mark, until hit returns false.
type watch struct {
	r    io.Reader
	mark []byte
	hit  func() bool
	tail []byte
}

// Read reads on.
func (w *watch) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if w.hit == nil {
		return n, err
	}
	w.tail = append(w.tail, b[:n]...)
	for w.hit != nil {
		at := bytes.Index(w.tail, w.mark)
		if at < 0 {
			break
		}
		w.tail = w.tail[at+len(w.mark):]
		if !w.hit() {
			w.hit, w.tail = nil, nil
		}
	}
	if keep := len(w.mark) - 1; len(w.tail) > keep {
		w.tail = bytes.Clone(w.tail[len(w.tail)-keep:])
	}
	return n, err
}

// gate holds writes back until it is opened, or closed for good.
type gate struct {
	w      io.Writer
	opened chan struct{}
	once   sync.Once
	ended  <-chan struct{}
}

// Write waits for the gate.
func (g *gate) Write(b []byte) (int, error) {
	select {
	case <-g.opened:
		return g.w.Write(b)
	case <-g.ended:
		return 0, io.ErrClosedPipe
	}
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }
