package cmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/tasks"
)

// fleetOptions say which inventory and which hosts of it.
type fleetOptions struct {
	inventory, sshConfig string
	connectTimeout       time.Duration
}

func (o *fleetOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "inventory", Aliases: []string{"i"}, Usage: "`FILE` with the hosts (default: $PGFLEET_INVENTORY, else inventory.yaml)", Destination: &o.inventory},
		&cli.StringFlag{Name: "ssh-config", Usage: "`FILE` read instead of ~/.ssh/config and /etc/ssh/ssh_config; none reads none", Destination: &o.sshConfig},
		&cli.DurationFlag{Name: "connect-timeout", Usage: "limit for connecting and logging in to a host, a `TIME` such as 10s", Destination: &o.connectTimeout},
	}
}

// connectOptions say how hosts are reached.
type connectOptions struct {
	forks     int
	askBecome bool
	// kept: see keep.
	kept *door
}

// defaultForks is how many hosts are worked on at once.
const defaultForks = 50

func (o *connectOptions) flags() []cli.Flag {
	return append(o.forkFlag(),
		&cli.BoolFlag{Name: "ask-become-pass", Aliases: []string{"K"}, Usage: "ask for the sudo password; it wins over those that the inventory refers to", Destination: &o.askBecome})
}

// forkFlag is -f, for commands that reach hosts without becoming anybody there.
func (o *connectOptions) forkFlag() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "forks", Aliases: []string{"f"}, Value: defaultForks, Usage: fmt.Sprintf("`N` hosts are worked on at once (default %d)", defaultForks), Destination: &o.forks,
			Action: func(_ *cli.Context, n int) error {
				if n < 1 {
					return usagef("--forks: at least 1 host must be worked on")
				}
				return nil
			}},
	}
}

// outputOptions say what is printed and how.
type outputOptions struct {
	output         string
	noColor        bool
	verbose        bool
	allowed        []string
	json, jsonLine bool
}

func (o *outputOptions) flags(allowed ...string) []cli.Flag {
	o.allowed = allowed
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "`FORMAT` of standard output: " + strings.Join(allowed, ", "), Destination: &o.output},
		&cli.BoolFlag{Name: "no-color", Usage: "no colours (also: NO_COLOR=1)", Destination: &o.noColor},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say more", Destination: &o.verbose},
	}
}

// check refuses a format that the command does not have.
func (o *outputOptions) check() error {
	known := map[string]bool{}
	for _, a := range o.allowed {
		known[a] = true
	}
	if !known[o.output] {
		return usagef("--output %s: is not one of %s%s", o.output, strings.Join(o.allowed, ", "), tasks.Suggest(o.output, known))
	}
	o.json, o.jsonLine = o.output == "json", o.output == "jsonl"
	return nil
}

// limitFlag is -l.
func limitFlag(to *string) cli.Flag {
	return &cli.StringFlag{Name: "limit", Aliases: []string{"l"}, Usage: "only the hosts that `PATTERN` means: name, role, group, db0*, client:!app3, a:&b", Destination: to}
}

// commas splits lists that were given with commas, or more than once.
func commas(lists []string) []string {
	var out []string
	for _, l := range lists {
		for _, x := range strings.Split(l, ",") {
			if x = strings.TrimSpace(x); x != "" {
				out = append(out, x)
			}
		}
	}
	return out
}

// assignments reads name=value and name:=JSON. what is their noun in messages.
func assignments(what string, words []string) (map[string]any, error) {
	out := make(map[string]any, len(words))
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		isJSON := strings.HasSuffix(name, ":")
		name = strings.TrimSuffix(name, ":")
		if !ok || name == "" {
			return nil, &usageError{text: fmt.Sprintf("%s %q is not name=value", what, w), hint: `lists, maps and numbers are written name:=JSON, for example names:='["a","b"]'`}
		}
		if _, twice := out[name]; twice {
			return nil, usagef("%s %s is given twice", what, name)
		}
		if !isJSON {
			out[name] = value
			continue
		}
		v, err := fromJSON(value)
		if err != nil {
			return nil, usagef("%s %s: %q is not JSON: %v", what, name, value, err)
		}
		out[name] = v
	}
	return out, nil
}

// fromJSON reads one JSON value, numbers as they were written.
func fromJSON(text string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("something follows the value")
	}
	return plainNumbers(v), nil
}

// plainNumbers turns JSON's numbers into int where they are whole, as YAML gives them.
func plainNumbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return int(n)
		}
		if f, err := x.Float64(); err == nil {
			return f
		}
		return x.String()
	case []any:
		for i := range x {
			x[i] = plainNumbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = plainNumbers(x[k])
		}
	}
	return v
}

// isYes reads an answer.
func isYes(answer string) bool {
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
