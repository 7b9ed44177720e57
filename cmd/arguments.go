package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// arguments is a command line taken apart. urfave/cli stops at the first argument that is no flag and drops arguments after -h, so the
// line is read here, whatever the order, and handed on in the one form that it understands: --name=value …, --, arguments.
type arguments struct {
	command       *command
	help, version bool
	flags, words  []string
}

// line gives the form for urfave/cli.
func (a *arguments) line() []string {
	out := append([]string{"pgfleet", a.command.Name}, a.flags...)
	return append(append(out, "--"), a.words...)
}

// readArguments takes a command line apart. Flags may stand before the command, between and after its arguments, short ones together
// (-CD, -vv) or with their value (-f10).
func readArguments(table []*command, args []string) (*arguments, error) {
	r := &argumentReader{table: table, rest: args, given: map[string]bool{}}
	for len(r.rest) > 0 {
		word := r.rest[0]
		r.rest = r.rest[1:]
		if err := r.word(word); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

type argumentReader struct {
	table []*command
	rest  []string
	out   arguments
	early []string // flags that came before the command's name
	given map[string]bool
}

func (r *argumentReader) word(word string) error {
	switch {
	case word == "--":
		if r.out.command == nil {
			return &usageError{text: "the command comes before --", hint: "pgfleet help lists the commands"}
		}
		r.out.words = append(r.out.words, r.rest...)
		r.rest = nil
		return nil
	case word == "-h" || word == "--help":
		r.out.help = true
		return nil
	case word == "--version":
		r.out.version = true
		return nil
	case strings.HasPrefix(word, "--"):
		return r.long(word)
	case len(word) > 1 && word[0] == '-':
		return r.short(word)
	case r.out.command == nil:
		return r.name(word)
	}
	r.out.words = append(r.out.words, word)
	if r.out.command.stopAtFirst {
		r.out.words = append(r.out.words, r.rest...)
		r.rest = nil
	}
	return nil
}

// name takes the first word that is no flag as the command.
func (r *argumentReader) name(word string) error {
	known := map[string]bool{}
	if len(r.rest) > 0 && slices.ContainsFunc(r.table, func(c *command) bool { return c.Name == word+" "+r.rest[0] }) {
		word, r.rest = word+" "+r.rest[0], r.rest[1:]
	}
	for _, c := range r.table {
		if c.Name == word {
			r.out.command = c
			// What came before is read again, now that the command's flags are known.
			r.rest = append(r.early, r.rest...)
			r.early = nil
			return nil
		}
		if !c.Hidden && verb(c) == "" {
			known[c.Name] = true
		}
	}
	return &usageError{text: fmt.Sprintf("there is no command %q%s", word, tasks.Suggest(word, known)), hint: "pgfleet help lists the commands"}
}

func (r *argumentReader) long(word string) error {
	name, value, hasValue := strings.Cut(word[2:], "=")
	f := r.find(name)
	if f == nil {
		return r.unknown("--" + name)
	}
	if !takesValue(f) {
		if hasValue {
			return usagef("--%s takes no value", name)
		}
		return r.add(f, "--"+name, "true")
	}
	return r.value(f, "--"+name, value, hasValue)
}

// short reads -v, -CD, -f 10, -f10.
func (r *argumentReader) short(word string) error {
	for i := 1; i < len(word); i++ {
		name := word[i : i+1]
		if name == "h" {
			r.out.help = true
			continue
		}
		f := r.find(name)
		if f == nil {
			return r.unknown("-" + name)
		}
		if takesValue(f) {
			value := word[i+1:]
			return r.value(f, "-"+name, strings.TrimPrefix(value, "="), value != "")
		}
		if strings.HasPrefix(word[i+1:], "=") {
			return usagef("-%s takes no value", name)
		}
		if err := r.add(f, "-"+name, "true"); err != nil {
			return err
		}
	}
	return nil
}

// value takes the value of a flag from the same word or from the next one, which must not be a flag itself.
func (r *argumentReader) value(f cli.Flag, shown, value string, hasValue bool) error {
	if !hasValue {
		if len(r.rest) == 0 || len(r.rest[0]) > 1 && r.rest[0][0] == '-' {
			return &usageError{text: shown + " wants a value", hint: fmt.Sprintf("a value that begins with - is written %s=VALUE", longName(f))}
		}
		value, r.rest = r.rest[0], r.rest[1:]
	}
	if value == "" {
		return usagef("%s wants a value", shown)
	}
	value, err := checkValue(f, value)
	if err != nil {
		return usagef("%s: %v", shown, err)
	}
	return r.add(f, shown, value)
}

func (r *argumentReader) add(f cli.Flag, shown, value string) error {
	name := longName(f)
	if _, list := f.(*cli.StringSliceFlag); !list && takesValue(f) && r.given[name] {
		return usagef("%s is given twice", shown)
	}
	word := name
	if takesValue(f) {
		word += "=" + value
	}
	if r.out.command == nil {
		r.early = append(r.early, word)
		return nil
	}
	r.given[name] = true
	r.out.flags = append(r.out.flags, word)
	return nil
}

// find gives the flag of a name: the command's, or as long as no command was named, any command's.
func (r *argumentReader) find(name string) cli.Flag {
	for _, c := range r.table {
		if r.out.command != nil && c != r.out.command {
			continue
		}
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				if n == name {
					return f
				}
			}
		}
	}
	return nil
}

func (r *argumentReader) unknown(shown string) error {
	known := map[string]bool{"--help": true}
	where, help := "pgfleet", "pgfleet help"
	for _, c := range r.table {
		if r.out.command != nil && c != r.out.command {
			continue
		}
		for _, f := range c.Flags {
			known[longName(f)] = true
		}
	}
	if r.out.command != nil {
		where, help = "pgfleet "+r.out.command.Name, "pgfleet "+r.out.command.Name+" --help"
	}
	suggestion := ""
	if strings.HasPrefix(shown, "--") {
		suggestion = tasks.Suggest(shown, known)
	}
	return &usageError{text: fmt.Sprintf("%s has no flag %s%s", where, shown, suggestion), hint: help + " lists the flags"}
}

func (r *argumentReader) finish() (*arguments, error) {
	if r.out.command == nil && len(r.early) > 0 && !r.out.help && !r.out.version {
		return nil, &usageError{text: "no command given", hint: "pgfleet help lists the commands"}
	}
	// What is not there must not mean all.
	if i := slices.Index(r.out.words, ""); i == 0 || i > 0 && !r.out.command.stopAtFirst {
		return nil, &usageError{text: fmt.Sprintf("pgfleet %s: an argument is empty", r.out.command.Name), hint: "a variable of the shell that is not set, in quotes, gives one"}
	}
	return &r.out, nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// longName gives the flag as it is written in full: --inventory.
func longName(f cli.Flag) string { return "--" + f.Names()[0] }

// checkValue refuses a value that the flag's type cannot hold, and gives it as urfave/cli reads it. A time without a unit is in seconds.
func checkValue(f cli.Flag, value string) (string, error) {
	switch f.(type) {
	case *cli.IntFlag:
		switch n, err := strconv.Atoi(value); {
		case errors.Is(err, strconv.ErrRange):
			return "", fmt.Errorf("%s is too large", value)
		case err != nil:
			return "", fmt.Errorf("%q is not a whole number", value)
		case n < 0:
			return "", fmt.Errorf("%d is below 0", n)
		}
	case *cli.DurationFlag:
		text := value
		if _, err := strconv.Atoi(value); err == nil {
			text += "s"
		}
		d, err := pki.ParseDuration(text)
		if err != nil || d == 0 {
			return "", fmt.Errorf("%q is not a time longer than 0; write for example 10s or 2m", value)
		}
		return d.String(), nil
	}
	return value, nil
}
