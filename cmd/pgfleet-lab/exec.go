package main

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/lab"
)

func execute() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command as root in a host; the exit code is the command's",
		ArgsUsage: "HOST [--] COMMAND [ARGUMENT…]",
		Flags:     labFlags(),
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if len(words) > 1 && words[1] == "--" {
				words = append(words[:1:1], words[2:]...)
			}
			if len(words) < 2 {
				return usage(errors.New("exec needs a host and a command: pgfleet-lab exec db1 -- ls /etc"))
			}
			l, err := opened(c)
			if err != nil {
				return err
			}
			code, err := l.Run(c.Context, words[0], lab.Command{Argv: words[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
			if err != nil {
				return err
			}
			if code != 0 {
				return codeError(code)
			}
			return nil
		},
	}
}
