package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"golang.org/x/term"
)

// System is what commands get from the machine that they run on.
type System struct {
	// In, Out and Err are the standard streams: Out is data, Err is progress and errors.
	In       io.Reader
	Out, Err io.Writer
	// Getenv gives an environment variable, "" when it is not set.
	Getenv func(string) string
	// Now is the clock.
	Now func() time.Time
	// Size gives columns and rows of the terminal behind a stream; ok is false when there is none.
	Size func(stream any) (width, height int, ok bool)
	// ReadSecret reads a line from the terminal without showing it, and calls ask when the terminal shows nothing any more. It is called only when Size says that In is
	// a terminal.
	ReadSecret func(ask func()) ([]byte, error)
}

// OS is the machine itself.
func OS() *System {
	return &System{In: os.Stdin, Out: &stdout{file: os.Stdout}, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now, Size: terminalSize,
		ReadSecret: func(ask func()) ([]byte, error) { return readSecret(int(os.Stdin.Fd()), ask) }}
}

// readSecret reads a line that the terminal does not show. Ctrl-C ends it with context.Canceled, and the terminal shows what is typed again: left
// alone, the signal would end the program with the terminal still silent. It asks only when the terminal is silent: a program may answer at once.
func readSecret(fd int, ask func()) ([]byte, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	for range 100 { // a terminal that was silent before does not change
		if now, err := term.GetState(fd); err != nil || !reflect.DeepEqual(now, state) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	ask()
	select {
	case l := <-read:
		return l.text, l.err
	case <-signals:
		_ = term.Restore(fd, state)
		return nil, context.Canceled
	}
}

func terminalSize(stream any) (width, height int, ok bool) {
	if s, is := stream.(*stdout); is {
		stream = s.file
	}
	f, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24, true
	}
	return width, height, true
}

// isTerminal tells whether a stream is a terminal.
func (s *System) isTerminal(stream any) bool {
	_, _, ok := s.Size(stream)
	return ok
}

// errNoTerminal says that nobody is there to answer a question.
var errNoTerminal = errors.New("there is no terminal to ask on")

// canAsk tells whether questions can be asked: the question on Err, the answer on In.
func (s *System) canAsk() bool { return s.isTerminal(s.In) && s.isTerminal(s.Err) }

// secret asks for a line that is not shown.
func (s *System) secret(question string) ([]byte, error) {
	if !s.canAsk() {
		return nil, errNoTerminal
	}
	answer, err := s.ReadSecret(func() { fmt.Fprint(s.Err, question) })
	fmt.Fprintln(s.Err)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return answer, nil
}

// confirm asks a question that only the word yes (or y) answers with yes.
func (s *System) confirm(question string) (bool, error) {
	if !s.canAsk() {
		return false, errNoTerminal
	}
	fmt.Fprint(s.Err, question+" [y/N] ")
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := s.In.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		if n == 1 {
			line = append(line, one[0])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("read answer: %w", err)
		}
	}
	return isYes(string(line)), nil
}
