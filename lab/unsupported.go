//go:build !linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// Available tells why no lab can run here.
func Available() error {
	return fmt.Errorf("a lab needs Linux and root, this is %s: use a Linux machine or a virtual one: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Up makes a lab, on Linux.
func Up(context.Context, Options) (*Lab, error) { return nil, Available() }

// Down ends a lab, on Linux.
func Down(context.Context, string) error { return Available() }

// Down ends the lab, on Linux.
func (l *Lab) Down(context.Context) error { return Available() }

// Hosts are the lab's hosts in order.
func (l *Lab) Hosts() []Host { return slices.Clone(l.state.Hosts) }

// Exec runs argv as root in a host, on Linux.
func (l *Lab) Exec(context.Context, string, []string, io.Reader) (Output, error) {
	return Output{}, Available()
}

// Run is Exec with the caller's own files, on Linux.
func (l *Lab) Run(context.Context, string, Command) (int, error) { return 0, Available() }

func (l *Lab) ask(context.Context, string, []string) error { return Available() }

func (l *Lab) makeStandbys(context.Context, Options) error { return Available() }
