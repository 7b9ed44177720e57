package cmd

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// command is one subcommand: what urfave/cli knows of it, and what it does not.
type command struct {
	*cli.Command
	// examples are shown by --help, one a line, a comment above where it needs one.
	examples string
	// stopAtFirst: everything from the first argument on belongs to a command of the user's.
	stopAtFirst bool
	// about, if not nil, gives help on what the arguments name (pgfleet task KIND --help); "" when they name nothing.
	about func(words []string) string
}

// commands is the list of what pgfleet can do, in the order of help. Commands of two words follow.
func commands(sys *System) []*command {
	authority := authorityCommands(sys)
	return append([]*command{
		newInit(sys),
		newHosts(sys),
		newTrust(sys),
		newPlan(sys),
		newRun(sys),
		newVerify(sys),
		newRotate(sys),
		newCerts(sys),
		newTask(sys),
		newExec(sys),
		newRevoke(sys),
		newRollback(sys),
		newAuthority(authority),
		newCompletion(sys),
		newVersion(sys),
		newDocs(sys),
	}, authority...)
}

// join puts lists of flags one after the other.
func join(lists ...[]cli.Flag) []cli.Flag {
	var out []cli.Flag
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// wantArguments refuses too few and too many arguments. names are those that a command has; one in brackets may be left out, and one that ends
// with … takes all that follow.
func wantArguments(c *cli.Context, names ...string) error {
	given, least, most := c.Args().Len(), 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.HasSuffix(strings.TrimSuffix(name, "]"), "…") {
			most = given
		}
	}
	help := "pgfleet " + c.Command.Name + " --help shows how it is used"
	if given < least {
		return &usageError{text: "pgfleet " + c.Command.Name + " wants " + names[given], hint: help}
	}
	if given > most {
		return &usageError{text: "pgfleet " + c.Command.Name + ": there is one argument too many: " + c.Args().Get(most), hint: help}
	}
	return nil
}
