package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

func hosts() *cli.Command {
	return &cli.Command{
		Name:   "hosts",
		Usage:  "list the hosts",
		Flags:  labFlags(&cli.StringFlag{Name: "o", Usage: "`FORMAT`: text or json", Value: "text"}),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			l, err := opened(c)
			if err != nil {
				return err
			}
			switch c.String("o") {
			case "json":
				out := json.NewEncoder(c.App.Writer)
				out.SetIndent("", "  ")
				return out.Encode(l.Hosts())
			case "text":
			default:
				return usage(fmt.Errorf("format %q: use text or json", c.String("o")))
			}
			w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tADDRESS\tPORT\tROLE\tACCESS\tPID")
			for _, h := range l.Hosts() {
				pid := "off"
				if h.PID != 0 {
					pid = fmt.Sprint(h.PID)
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", h.Name, h.Addr, h.Port, h.Role, h.Access, pid)
			}
			return w.Flush()
		},
	}
}

func inventory() *cli.Command {
	return &cli.Command{
		Name:   "inventory",
		Usage:  "print the inventory of the lab",
		Flags:  labFlags(),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			l, err := opened(c)
			if err == nil {
				fmt.Fprint(c.App.Writer, l.Inventory())
			}
			return err
		},
	}
}

func sshConfig() *cli.Command {
	return &cli.Command{
		Name:   "ssh-config",
		Usage:  "print an ssh_config for the lab's hosts",
		Flags:  labFlags(),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			l, err := opened(c)
			if err == nil {
				fmt.Fprint(c.App.Writer, l.SSHConfig())
			}
			return err
		},
	}
}
