package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
)

func newCompletion(sys *System) *command {
	return &command{
		Command: &cli.Command{
			Name: "completion", Usage: "Print a completion script for a shell", ArgsUsage: "bash|zsh|fish",
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "bash|zsh|fish"); err != nil {
					return err
				}
				return printCompletion(sys, c.Args().First())
			},
		},
		examples: `pgfleet completion bash > /etc/bash_completion.d/pgfleet
			pgfleet completion zsh > "${fpath[1]}/_pgfleet"
			pgfleet completion fish > ~/.config/fish/completions/pgfleet.fish`,
	}
}

func printCompletion(sys *System, shell string) error {
	writers := map[string]func(io.Writer, []*command){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
	write, ok := writers[shell]
	if !ok {
		return usagef("completion: %q is not one of bash, zsh, fish", shell)
	}
	write(sys.Out, visible(commands(sys)))
	return nil
}

// visible leaves out hidden commands.
func visible(table []*command) []*command {
	var out []*command
	for _, c := range table {
		if !c.Hidden {
			out = append(out, c)
		}
	}
	return out
}

// values lists what can be written after a flag; none: anything, often a file.
func values(f cli.Flag) []string {
	_, usage := flagHelp(f)
	switch f.Names()[0] {
	case "output", "verify", "enforce", "until", "reason":
		_, list, _ := strings.Cut(usage, ": ")
		if end := strings.IndexAny(list, "(;"); end >= 0 {
			list = list[:end]
		}
		return strings.Split(strings.TrimSpace(list), ", ")
	}
	return nil
}

// isFile tells whether a flag's value is the name of a file or folder of this machine.
func isFile(f cli.Flag) bool {
	left, _ := flagHelp(f)
	kind := left[strings.LastIndexByte(left, ' ')+1:]
	return slices.Contains([]string{"FILE", "FOLDER", "DIR"}, kind) || f.Names()[0] == "recipient"
}

// words that can be the command's first argument.
func words(c *command) []string {
	switch c.Name {
	case "task":
		var out []string
		for _, k := range tasks.Kinds() {
			out = append(out, k.Name)
		}
		return out
	case "run", "plan":
		return playbooks.Shipped()
	case "completion":
		return []string{"bash", "zsh", "fish"}
	case "certs":
		return []string{"show"}
	case "authority":
		var out []string
		for _, v := range authorityCommands(&System{}) {
			out = append(out, verb(v))
		}
		return out
	}
	return nil
}

// written gives every way to write a flag: --limit, -l.
func written(f cli.Flag) []string {
	var out []string
	for _, n := range f.Names() {
		if len(n) == 1 {
			out = append(out, "-"+n)
		} else {
			out = append(out, "--"+n)
		}
	}
	return out
}

func completeBash(w io.Writer, table []*command) {
	var names []string
	for _, c := range table {
		if verb(c) == "" {
			names = append(names, c.Name)
		}
	}
	fmt.Fprint(w, `# bash completion for pgfleet
_pgfleet() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= word
    local -a choices=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in -*) ;; *) command=${command:+$command }$word; [[ $command = authority ]] || break ;; esac
    done
    COMPREPLY=()
    case $command:$prev in
`)
	for _, c := range table {
		for _, f := range c.Flags {
			if !takesValue(f) {
				continue
			}
			name := strings.ReplaceAll(c.Name, " ", `\ `)
			patterns := name + ":" + strings.Join(written(f), "|"+name+":")
			choice := ""
			if list := values(f); list != nil {
				choice = fmt.Sprintf(`mapfile -t COMPREPLY < <(compgen -W %q -- "$cur")`, strings.Join(list, " "))
			} else if isFile(f) {
				choice = `mapfile -t COMPREPLY < <(compgen -f -- "$cur")`
			}
			fmt.Fprintf(w, "        %s) %s return ;;\n", patterns, orNothing(choice))
		}
	}
	fmt.Fprint(w, "    esac\n    case $command in\n")
	fmt.Fprintf(w, "        '') choices=(%s --help --version) ;;\n", strings.Join(names, " "))
	for _, c := range table {
		list := words(c)
		for _, f := range append(c.Flags, helpFlag) {
			list = append(list, written(f)...)
		}
		fmt.Fprintf(w, "        %q) choices=(%s) ;;\n", c.Name, strings.Join(list, " "))
	}
	fmt.Fprint(w, `    esac
    mapfile -t COMPREPLY < <(compgen -W "${choices[*]}" -- "$cur")
    if [[ ${#COMPREPLY[@]} -eq 0 && $cur != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -o filenames -F _pgfleet pgfleet
`)
}

func orNothing(statement string) string {
	if statement == "" {
		return ""
	}
	return statement + ";"
}

// zshQuote makes a text safe inside the single quotes of an _arguments specification.
var zshQuote = strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)

func completeZsh(w io.Writer, table []*command) {
	fmt.Fprint(w, "#compdef pgfleet\n# zsh completion for pgfleet\n_pgfleet() {\n    local -a commands\n    commands=(\n")
	for _, c := range table {
		if verb(c) != "" {
			continue
		}
		fmt.Fprintf(w, "        '%s:%s'\n", c.Name, zshQuote.Replace(c.Usage))
	}
	fmt.Fprint(w, `    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    if [[ $command = authority ]] && (( CURRENT > 2 )); then
        command="authority $words[2]"
        shift words
        (( CURRENT-- ))
    fi
    case $command in
`)
	for _, c := range table {
		fmt.Fprintf(w, "        %q)\n            _arguments -s", c.Name)
		for _, f := range append(c.Flags, helpFlag) {
			_, usage := flagHelp(f)
			for _, name := range written(f) {
				fmt.Fprintf(w, " \\\n                '*%s[%s]%s'", name, zshQuote.Replace(usage), zshValue(f))
			}
		}
		if list := words(c); list != nil {
			fmt.Fprintf(w, " \\\n                '1: :(%s)'", strings.Join(list, " "))
		}
		fmt.Fprint(w, " \\\n                '*:file:_files' ;;\n")
	}
	fmt.Fprint(w, "    esac\n}\nif [ \"$funcstack[1]\" = _pgfleet ]; then\n    _pgfleet \"$@\"\nelse\n    compdef _pgfleet pgfleet\nfi\n")
}

// zshValue says what follows a flag.
func zshValue(f cli.Flag) string {
	switch {
	case !takesValue(f):
		return ""
	case values(f) != nil:
		return ":value:(" + strings.Join(values(f), " ") + ")"
	case isFile(f):
		return ":file:_files"
	}
	return ":value: "
}

// fishQuote makes a text safe inside single quotes.
var fishQuote = strings.NewReplacer(`\`, `\\`, "'", `\'`)

func completeFish(w io.Writer, table []*command) {
	fmt.Fprint(w, "# fish completion for pgfleet\n")
	for _, c := range table {
		if verb(c) != "" {
			continue
		}
		fmt.Fprintf(w, "complete -c pgfleet -n __fish_use_subcommand -f -a %s -d '%s'\n", c.Name, fishQuote.Replace(c.Usage))
	}
	for _, c := range table {
		condition := fmt.Sprintf("complete -c pgfleet -n '__fish_seen_subcommand_from %s'", strings.ReplaceAll(c.Name, " ", "; and __fish_seen_subcommand_from "))
		for _, f := range append(c.Flags, helpFlag) {
			_, usage := flagHelp(f)
			line := condition
			for _, n := range written(f) {
				if strings.HasPrefix(n, "--") {
					line += " -l " + n[2:]
				} else {
					line += " -s " + n[1:]
				}
			}
			switch {
			case values(f) != nil:
				line += " -x -a '" + strings.Join(values(f), " ") + "'"
			case isFile(f):
				line += " -r -F"
			case takesValue(f):
				line += " -x"
			}
			fmt.Fprintf(w, "%s -d '%s'\n", line, fishQuote.Replace(usage))
		}
		if list := words(c); list != nil {
			fmt.Fprintf(w, "%s -f -a '%s'\n", condition, strings.Join(list, " "))
		}
	}
}
