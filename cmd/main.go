// Package cmd is pgfleet's command line: flags, printers, exit codes. It alone knows urfave/cli, prints errors and chooses the exit code; main
// returns the number.
//
// A command is an options struct, a constructor that binds flags to it, and a run function that knows nothing of the flag library.
package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

// Main runs one command line (without the program's name) and gives the exit code.
func Main(args []string, sys *System) int {
	err := dispatch(context.Background(), args, sys)
	report(sys.Err, err)
	return complain(sys, exitCode(err))
}

func dispatch(ctx context.Context, args []string, sys *System) error {
	table := commands(sys)
	if len(args) == 0 {
		helpAll(sys.Out, table)
		return nil
	}
	if args[0] == "help" {
		args = append(append([]string{}, args[1:]...), "--help")
	}
	a, err := readArguments(table, args)
	switch {
	case err != nil:
		return err
	case a.version:
		return printVersion(sys)
	case a.help && a.command == nil:
		helpAll(sys.Out, table)
		return nil
	case a.help:
		helpOne(sys.Out, a.command, a.words)
		return nil
	}
	return runLine(ctx, table, a)
}

// runLine hands a line that was read to urfave/cli.
func runLine(ctx context.Context, table []*command, a *arguments) error {
	app := &cli.App{
		Name: "pgfleet", HideHelp: true, HideVersion: true,
		DisableSliceFlagSeparator: true,
		Writer:                    io.Discard, ErrWriter: io.Discard,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   asUsage,
	}
	for _, c := range table {
		c.OnUsageError, c.HideHelp = asUsage, true // help is given above; the library's flag is one for the whole process
		app.Commands = append(app.Commands, c.Command)
	}
	return app.RunContext(ctx, a.line())
}

func asUsage(c *cli.Context, err error, _ bool) error {
	return &usageError{text: fmt.Sprintf("%s: %v", c.Command.Name, err), hint: "pgfleet " + c.Command.Name + " --help lists the flags"}
}
