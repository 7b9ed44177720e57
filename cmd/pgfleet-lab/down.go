package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/lab"
)

func down() *cli.Command {
	return &cli.Command{
		Name:   "down",
		Usage:  "end every process, mount, interface and file of the lab, also of one that was killed while it started",
		Flags:  labFlags(),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			path, err := folder(c)
			if err != nil {
				return err
			}
			err = lab.Down(c.Context, path)
			if errors.Is(err, lab.ErrNoLab) {
				fmt.Fprintf(c.App.ErrWriter, "no lab in %s\n", path)
				return nil
			}
			return err
		},
	}
}

// power is a command that does one thing to some hosts, or all.
func power(name, text string, do func(*lab.Lab, context.Context, ...string) error) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     text,
		ArgsUsage: "[HOST…]",
		Flags:     labFlags(),
		Action: func(c *cli.Context) error {
			l, err := opened(c)
			if err != nil {
				return err
			}
			return do(l, c.Context, c.Args().Slice()...)
		},
	}
}
