package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/tasks"
)

// newDocs is hidden: it writes docs/reference.md, which a test holds to what the program says.
func newDocs(sys *System) *command {
	return &command{Command: &cli.Command{
		Name: "docs", Usage: "Print the reference as Markdown (docs/reference.md)", Hidden: true,
		Action: func(c *cli.Context) error {
			if err := wantArguments(c); err != nil {
				return err
			}
			writeReference(sys.Out, visible(commands(sys)))
			return nil
		},
	}}
}

func writeReference(w io.Writer, table []*command) {
	fmt.Fprint(w, `# Reference

This page is made from the program: `+"`go run ./cmd/pgfleet docs > docs/reference.md`"+`. It lists [commands](#commands),
[exit codes](#exit-codes), [what goes where](#what-goes-where) and the [kinds of task](#kinds-of-task).

## Commands

Flags stand before, between or after arguments. Short flags can be written together (`+"`-CD`"+`) or with their value (`+"`-f10`"+`).
A flag that is given twice, lacks its value or is not known is refused before anything is contacted.
`)
	for _, c := range table {
		writeCommand(w, c)
	}
	fmt.Fprint(w, "\n## Exit codes\n\n| code | meaning |\n| ---: | --- |\n")
	for _, e := range exitTexts {
		fmt.Fprintf(w, "| %d | %s |\n", e.code, e.text)
	}
	fmt.Fprint(w, "\nWhen several hold, the first of 1, 130, 2, 3, 4, 6, 8, 7 is given. With 5 no host was contacted (`revoke`: or only asked\nfor its records, where these have no such certificate, or several).\n")
	fmt.Fprint(w, whereText)
	fmt.Fprint(w, "\n## Kinds of task\n\nEach can stand in a playbook, and can be done by hand with `pgfleet task KIND -l PATTERN name=value …`.\n")
	for _, k := range tasks.Kinds() {
		writeKind(w, k)
	}
}

const whereText = `
## What goes where

Standard output is data: results, diffs, recap, tables, JSON. Standard error is for the moment: live progress, notices, questions, errors
(` + "`error: …`, then `hint: …`" + `). The live display is there when standard error is a terminal, and colours when the stream is one; ` + "`--no-color`, `NO_COLOR`\n" +
	"and `TERM=dumb`" + ` turn colours off. ` + "`-o json`" + ` prints one document at the end, ` + "`-o jsonl`" + ` each event as it happens. No output holds a secret.

The first Ctrl-C (or SIGTERM, or a closed terminal) lets the steps under way finish and begins no new one; the second stops now. The exit code
is 130, and the next run goes on from there.
`

func writeCommand(w io.Writer, c *command) {
	fmt.Fprintf(w, "\n### pgfleet %s\n\n%s.\n", c.Name, c.Usage)
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Description))
	}
	fmt.Fprintf(w, "\n```\n%s\n", usageLine(c))
	for i, l := range exampleLines(c) {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, l)
	}
	fmt.Fprint(w, "```\n")
	if len(c.Flags) == 0 {
		return
	}
	fmt.Fprint(w, "\n| flag | |\n| --- | --- |\n")
	for _, f := range c.Flags {
		left, text := flagHelp(f)
		fmt.Fprintf(w, "| `%s` | %s |\n", strings.TrimSpace(left), tableText(text))
	}
}

func writeKind(w io.Writer, k tasks.Kind) {
	fmt.Fprintf(w, "\n### %s\n\n%s.", k.Name, sentence(k.Summary))
	if len(k.Roles) > 0 {
		fmt.Fprintf(w, " For hosts of role `%s`.", strings.Join(k.Roles, "` or `"))
	}
	fmt.Fprintln(w)
	if k.Doc != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(k.Doc))
	}
	if params := tasks.Params(k); len(params) > 0 {
		fmt.Fprint(w, "\n| parameter | type | |\n| --- | --- | --- |\n")
		for _, p := range params {
			name := "`" + p.Name + "`"
			if p.Rest {
				name = "any other"
			}
			fmt.Fprintf(w, "| %s | %s | %s |\n", name, p.Type, tableText(paramText(p)))
		}
	}
	if k.Example != "" {
		fmt.Fprintf(w, "\n```yaml\n%s\n```\n", strings.TrimSpace(k.Example))
	}
}

// tableText makes a text safe inside a Markdown table.
func tableText(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
