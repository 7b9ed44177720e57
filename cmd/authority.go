package cmd

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/tasks"
)

// authorityCommands are the verbs of pgfleet authority, each a command of two words.
func authorityCommands(sys *System) []*command {
	return []*command{
		newAuthorityRequests(sys),
		newAuthorityAnswer(sys),
		newAuthorityBackup(sys),
		newAuthorityRestore(sys),
		newAuthorityCheck(sys),
		newAuthorityRestrict(sys),
	}
}

// newAuthority stands for all of its verbs: what it does itself is to name them.
func newAuthority(verbs []*command) *command {
	known := map[string]bool{}
	var lines []string
	for _, v := range verbs {
		known[verb(v)] = true
		lines = append(lines, fmt.Sprintf("%s: %s.", v.Name, strings.ToLower(v.Usage[:1])+v.Usage[1:]))
	}
	return &command{Command: &cli.Command{
		Name: "authority", Usage: "Keep authorities: restrict, back up, restore, check; requests and answers of those elsewhere", ArgsUsage: "VERB",
		Description: strings.Join(lines, "\n\n") + "\n\n`pgfleet authority VERB --help` explains one.",
		Action: func(c *cli.Context) error {
			hint := "pgfleet authority --help lists what can be done"
			if word := c.Args().First(); word != "" {
				return &usageError{text: fmt.Sprintf("authority: there is no %q%s", word, tasks.Suggest(word, known)), hint: hint}
			}
			return &usageError{text: "authority: say what is to be done", hint: hint}
		},
	}}
}

// verb is the second word of a command's name, "" where there is none.
func verb(c *command) string {
	_, word, _ := strings.Cut(c.Name, " ")
	return word
}
