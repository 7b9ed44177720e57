package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts turns signals into a calm end: the first closes stop, so that no new step begins; the second ends the context. The third is the
// operating system's again.
type interrupts struct {
	stop   chan struct{}
	cancel context.CancelFunc
	say    func(string)
	// last is called at the second signal: the terminal is put back before anything can kill the program.
	last func()

	mu  sync.Mutex
	got int
}

// watchInterrupts listens for Ctrl-C, SIGTERM and a closed terminal until release is called.
func watchInterrupts(ctx context.Context, say func(string), last func()) (_ context.Context, i *interrupts, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	i = &interrupts{stop: make(chan struct{}), cancel: cancel, say: say, last: last}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Being listened to, a closed pipe (| head) is an error of that write and not the end of the program in the middle of a step.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
				if i.signal() == 2 {
					signal.Stop(signals)
				}
			}
		}
	}()
	return ctx, i, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(done)
		cancel()
	}
}

// signal counts one signal and gives how many there were.
func (i *interrupts) signal() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got++
	switch i.got {
	case 1:
		i.say("finishing the steps under way; Ctrl-C again stops now")
		close(i.stop)
	case 2:
		i.say("stopping now")
		i.last()
		i.cancel()
	}
	return i.got
}

// came tells whether there was a signal.
func (i *interrupts) came() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.got > 0
}

// sayTo gives a function that prints a line on w.
func sayTo(w io.Writer) func(string) {
	return func(text string) { fmt.Fprintln(w, text) }
}
