package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/lab"
)

func up() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "make the hosts: three for authorities, database servers, clients",
		Flags: labFlags(
			&cli.IntFlag{Name: "db", Usage: "`NUMBER` of database servers", Value: 1},
			&cli.IntFlag{Name: "client", Usage: "`NUMBER` of clients", Value: 1},
			&cli.IntFlag{Name: "standby", Usage: "`NUMBER` of database servers, the last ones, that are standbys of the first"},
			&cli.DurationFlag{Name: "rtt", Usage: "round-trip `TIME` of SSH connections, such as 20ms"},
			&cli.StringSliceFlag{Name: "variant", Usage: "`[HOSTS=]ACCESS`: sudo, sudo-password, root or no-sudo, for ca, db, app or one host; repeatable"},
			&cli.StringSliceFlag{Name: "postgresql", Usage: "`HOST=FOLDER`: another PostgreSQL for a database server, an installation with bin, lib and share; repeatable"},
			&cli.BoolFlag{Name: "resolve", Usage: "every host knows all names (without: only its own)"},
			&cli.BoolFlag{Name: "log-sessions", Usage: "every sshd logs the sessions of a connection, too (LogLevel VERBOSE)"},
			&cli.StringSliceFlag{Name: "mask", Usage: "a further `FOLDER` of this machine that hosts must not see; repeatable"},
		),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			o, err := options(c)
			if err != nil {
				return usage(err)
			}
			began := time.Now()
			l, err := lab.Up(c.Context, o)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.App.ErrWriter, "all hosts are up after %.1f s\n", time.Since(began).Seconds())
			fmt.Fprintf(c.App.Writer, "inventory: %s\nssh:       ssh -F %s %s\n", filepath.Join(l.Folder(), "inventory.yaml"), filepath.Join(l.Folder(), "ssh_config"), l.Hosts()[len(l.Hosts())-1].Short)
			return nil
		},
	}
}

func options(c *cli.Context) (lab.Options, error) {
	o := lab.Options{
		Name: c.String("name"), DB: c.Int("db"), Client: c.Int("client"), Standby: c.Int("standby"), RTT: c.Duration("rtt"),
		Resolve: c.Bool("resolve"), LogSessions: c.Bool("log-sessions"), Mask: c.StringSlice("mask"), Log: c.App.ErrWriter,
	}
	for _, text := range c.StringSlice("variant") {
		v, err := lab.ParseVariant(text)
		if err != nil {
			return o, err
		}
		o.Variants = append(o.Variants, v)
	}
	for _, text := range c.StringSlice("postgresql") {
		host, path, found := strings.Cut(text, "=")
		if !found {
			return o, fmt.Errorf("postgresql %q: use HOST=FOLDER, such as db1=/opt/postgresql-18", text)
		}
		if o.PostgreSQL == nil {
			o.PostgreSQL = map[string]string{}
		}
		o.PostgreSQL[host] = path
	}
	var err error
	o.Folder, err = folder(c)
	return o, err
}
