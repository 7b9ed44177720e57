package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/lab"
)

// Exit codes. exec gives the command's own.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 5
	exitInterrupted = 130
)

// codeError ends the program with a code and no message.
type codeError int

func (c codeError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run does what args say and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := &cli.App{
		Name:           "pgfleet-lab",
		Usage:          "a fleet of real hosts on one Linux machine, to try pgfleet on",
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usage(err) },
		Action:         noCommand,
		Commands: []*cli.Command{
			up(), down(), power("reset", "throw all changes away: hosts start again, fresh (HOST…, or all)", (*lab.Lab).Reset),
			power("stop", "turn hosts off as a power cut does; their files are kept", (*lab.Lab).Stop),
			power("start", "turn stopped hosts on", (*lab.Lab).Start),
			hosts(), inventory(), sshConfig(), execute(),
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = app.OnUsageError
	}
	err := app.RunContext(ctx, args)
	var code codeError
	var misuse *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(stderr, "error:", err)
	switch {
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &misuse):
		return exitUsage
	}
	return exitFailed
}

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

func usage(err error) error { return &usageError{err} }

func noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usage(fmt.Errorf("unknown command %q; see: pgfleet-lab help", c.Args().First()))
	}
	return cli.ShowAppHelp(c)
}

// labFlags choose a lab; every command has them.
func labFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "the lab, of several side by side", Value: "lab1", EnvVars: []string{"PGFLEET_LAB"}},
		&cli.StringFlag{Name: "state", Usage: "the lab's `FOLDER`", DefaultText: lab.Root + "/NAME", EnvVars: []string{"PGFLEET_LAB_STATE"}},
	}, more...)
}

// folder is the state folder that the flags name.
func folder(c *cli.Context) (string, error) {
	state := c.String("state")
	if state != "" {
		abs, err := filepath.Abs(state)
		if err != nil {
			return "", fmt.Errorf("find state folder: %w", err)
		}
		state = abs
	}
	path, err := lab.FolderOf(c.String("name"), state)
	if err != nil {
		return "", usage(err)
	}
	return path, nil
}

// opened is the lab that the flags name.
func opened(c *cli.Context) (*lab.Lab, error) {
	path, err := folder(c)
	if err != nil {
		return nil, err
	}
	l, err := lab.Open(path)
	if errors.Is(err, lab.ErrNoLab) {
		return nil, fmt.Errorf("%w; make one with: pgfleet-lab up", err)
	}
	return l, err
}

// noArguments refuses words that a command would not read: a lab is named by --name.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usage(fmt.Errorf("%s takes no argument (%q): a lab is chosen with --name, before the rest", c.Command.Name, c.Args().First()))
	}
	return nil
}
