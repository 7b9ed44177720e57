package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpAll lists the commands.
func helpAll(out io.Writer, table []*command) {
	fmt.Fprint(out, "pgfleet brings mutual TLS to a fleet of PostgreSQL servers and their clients, over SSH.\n\n")
	fmt.Fprint(out, "Usage:\n  pgfleet COMMAND [flags] [arguments]\n\nCommands:\n")
	for _, c := range table {
		if !c.Hidden && verb(c) == "" {
			fmt.Fprintf(out, "  %-11s %s\n", c.Name, c.Usage)
		}
	}
	fmt.Fprint(out, "\nStart with:\n  pgfleet init\n  pgfleet trust --all\n  pgfleet run --check --diff playbooks/mtls.yaml\n  pgfleet run playbooks/mtls.yaml\n")
	fmt.Fprint(out, "\n`pgfleet COMMAND --help` explains one command. The inventory is -i FILE, else $PGFLEET_INVENTORY, else inventory.yaml here.\n")
	fmt.Fprint(out, "\nExit codes:\n")
	for _, e := range exitTexts {
		fmt.Fprintf(out, "  %-4d %s\n", e.code, e.text)
	}
}

// exitTexts explains the exit codes to the user.
var exitTexts = []struct {
	code int
	text string
}{
	{exitOK, "everything is as wanted"},
	{exitInternal, "an error inside pgfleet"},
	{exitFailed, "a host failed"},
	{exitUnverified, "verification found something that differs"},
	{exitUnreachable, "a host was not reached: network, host key, login, sudo"},
	{exitUsage, "usage or configuration; nothing was contacted"},
	{exitLocked, "another run holds the lock"},
	{exitPending, "changes are pending: with --check --detailed-exitcode, or somebody else has to sign first (authority requests)"},
	{exitExpiring, "a certificate or list ends within certs --fail-within, or is broken; one that rotate does not renew ends soon; a backup of an authority is out of date"},
	{exitInterrupted, "interrupted"},
}

// helpOne explains one command.
func helpOne(out io.Writer, c *command, words []string) {
	if c.about != nil && len(words) > 0 {
		if text := c.about(words); text != "" {
			fmt.Fprint(out, text)
			return
		}
	}
	fmt.Fprintf(out, "%s\n\nUsage:\n  %s\n", c.Usage, usageLine(c))
	if c.Description != "" {
		fmt.Fprint(out, "\n"+wrap(c.Description, ""))
	}
	for i, l := range exampleLines(c) {
		if i == 0 {
			fmt.Fprintln(out, "\nExamples:")
		}
		fmt.Fprintln(out, "  "+l)
	}
	if len(c.Flags) == 0 {
		return
	}
	fmt.Fprintln(out, "\nFlags:")
	for _, f := range append(c.Flags, helpFlag) {
		left, text := flagHelp(f)
		fmt.Fprintf(out, "  %-28s %s\n", left, text)
	}
}

// usageLine shows how a command is written.
func usageLine(c *command) string {
	line, flags := "pgfleet "+c.Name, ""
	if len(c.Flags) > 0 {
		flags = " [flags]"
	}
	switch {
	case c.ArgsUsage == "":
		return line + flags
	case c.stopAtFirst:
		return line + flags + " " + c.ArgsUsage
	}
	return line + " " + c.ArgsUsage + flags
}

// exampleLines gives a command's examples without their indentation.
func exampleLines(c *command) []string {
	if c.examples == "" {
		return nil
	}
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(c.examples), "\n") {
		out = append(out, strings.TrimSpace(l))
	}
	return out
}

// helpFlag is what every command has; the line reader knows it.
var helpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "explain this command"}

// flagHelp gives "-l, --limit PATTERN" and what the flag does. The value's name stands between backquotes in its usage text.
func flagHelp(f cli.Flag) (left, text string) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return longName(f), ""
	}
	text = d.GetUsage()
	value := ""
	if before, rest, found := strings.Cut(text, "`"); found {
		name, after, _ := strings.Cut(rest, "`")
		value, text = name, before+name+after
	}
	left = "    " + longName(f)
	for _, alias := range f.Names()[1:] {
		if len(alias) == 1 {
			left = "-" + alias + ", " + longName(f)
		}
	}
	if d.TakesValue() {
		if value == "" {
			value = "VALUE"
		}
		left += " " + value
	}
	return left, text
}
