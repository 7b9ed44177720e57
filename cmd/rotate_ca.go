package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// How far a replacement goes.
const (
	untilTrust   = "trust"
	untilReissue = "reissue"
	untilDrop    = "drop"
)

// rotateCAOptions is what pgfleet rotate-ca was asked for.
type rotateCAOptions struct {
	until                  string
	terminate, newKey, yes bool
	choice                 planChoice
	fleet                  fleetOptions
	apply                  applyOptions
}

func newRotateCA(sys *System) *command {
	o := &rotateCAOptions{}
	return &command{
		Command: &cli.Command{
			Name: "rotate-ca", Usage: "Replace an authority by its successor, without one failed connection",
			Description: `The inventory declares the successor: clients_g2: {host: …, subject: "CN=clients CA G2", replaces: clients}. Then, in this order:
everybody believes both, and servers prove it (--until trust); all certificates come from the successor, one host first, each once
everybody who meets it believes the successor (--until reissue, which is where it stops unless told otherwise); nobody believes
the old one any more (--until drop, which asks first).

Where it is, it sees from the files on the hosts. It can be stopped anywhere and run again, also after weeks. The old authority is dropped
only when no certificate in force and no open session of the fleet needs it; they are named. --terminate ends such
sessions once no client has such a certificate. It runs the playbook rotate-ca, whose variables -e sets.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "until", Value: untilReissue, Usage: "how far to go, a `STEP`: trust, reissue, drop (default reissue)", Destination: &o.until},
				&cli.BoolFlag{Name: "terminate", Usage: "with --until drop: end the sessions that were opened with certificates of the old authority", Destination: &o.terminate},
				&cli.BoolFlag{Name: "new-key", Usage: "make a new key with each certificate", Destination: &o.newKey},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes},
			}, o.choice.flags(), o.apply.changeFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c); err != nil {
					return err
				}
				o.choice.take(c)
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet rotate-ca --check --diff
			pgfleet rotate-ca --until trust
			pgfleet rotate-ca
			pgfleet rotate-ca --until drop
			pgfleet rotate-ca --until drop --terminate -y`,
	}
}

// check refuses what makes no sense before anything is read or contacted.
func (o *rotateCAOptions) check(sys *System) error {
	if steps := []string{untilTrust, untilReissue, untilDrop}; !slices.Contains(steps, o.until) {
		return usagef("--until: %q is not one of %s", o.until, strings.Join(steps, ", "))
	}
	if o.terminate && o.until != untilDrop {
		return usagef("rotate-ca: --terminate goes with --until drop: sessions need not end before")
	}
	if o.asks() && !sys.canAsk() {
		return &usageError{text: "rotate-ca: " + errNoTerminal.Error(), hint: "-y drops the old authority without asking, --check only shows what would be done"}
	}
	return o.apply.check()
}

// asks tells whether there is a question before the run.
func (o *rotateCAOptions) asks() bool { return o.until == untilDrop && !o.yes && !o.apply.checkOnly }

func (o *rotateCAOptions) run(ctx context.Context, sys *System) error {
	if err := o.check(sys); err != nil {
		return err
	}
	o.choice.vars = append(o.choice.vars, "until="+o.until)
	if o.newKey {
		o.choice.vars = append(o.choice.vars, "new_key=yes")
	}
	opt, err := o.choice.options()
	if err != nil {
		return err
	}
	inv, err := o.fleet.load(opt.Vars)
	if err != nil {
		return err
	}
	old, err := replaced(inv)
	if err != nil {
		return err
	}
	if o.terminate {
		names := make([]any, len(old))
		for i, name := range old {
			names[i] = name
		}
		opt.Vars["terminate"] = names
	}
	pb, err := playbooks.LoadShipped("rotate-ca")
	if err != nil {
		return err
	}
	if err := meant(inv, old, pb, opt.Vars); err != nil {
		return err
	}
	plan, err := playbooks.NewPlan(pb, inv, opt)
	if err != nil {
		return asConfiguration(err)
	}
	if o.asks() {
		if err := o.ask(sys, inv, old); err != nil {
			return err
		}
	}
	outcome, err := o.apply.outcome(ctx, sys, plan)
	if outcome != nil && outcome.Exit == exitOK && !o.apply.checkOnly && o.choice.limit == "" && len(opt.Tags) == 0 {
		for _, line := range o.next(inv, old) {
			fmt.Fprintln(sys.Err, "notice: "+line)
		}
	}
	return err
}

// replaced gives the declared authorities that have a successor, by name. None is an error.
func replaced(inv *inventory.Inventory) ([]string, error) {
	var out, done []string
	for _, name := range sortedNames(inv.Authorities) {
		if pki.Successor(inv.Authorities, name) != "" {
			out = append(out, name)
		}
		if a := inv.Authorities[name]; a.Replaces != "" {
			done = append(done, fmt.Sprintf("%s has taken the place of %s", name, a.Replaces))
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	err := &usageError{text: "rotate-ca: no authority of " + inv.File + " has a successor",
		hint: `declare one with a new subject beside it, for example clients_g2: {host: ca1.example.net, subject: "CN=clients CA G2", replaces: clients}`}
	if len(done) > 0 {
		err.text += " (" + strings.Join(done, ", ") + ")"
	}
	return nil, err
}

// meant refuses an authority with a successor that the run would pass over: it is not the one that signs for servers or for clients, nor above it.
func meant(inv *inventory.Inventory, old []string, pb *playbooks.Playbook, vars map[string]any) error {
	var signing, covered []string
	for _, name := range []string{"server_authority", "client_authority"} {
		value := pb.Vars[name]
		if v, ok := vars[name]; ok {
			value = v
		}
		signing = append(signing, fmt.Sprintf("%s=%v", name, value))
		for _, generation := range pki.Generations(inv.Authorities, fmt.Sprint(value)) {
			for a, ok := inv.Authorities[generation]; ok; a, ok = inv.Authorities[a.Issuer] {
				covered = append(covered, a.Name)
			}
		}
	}
	for _, name := range old {
		if !slices.Contains(covered, name) {
			return &usageError{text: fmt.Sprintf("rotate-ca: %s has a successor, but signs neither for servers nor for clients (%s)", name, strings.Join(signing, ", ")),
				hint: "say which it is: -e server_authority=NAME or -e client_authority=NAME"}
		}
	}
	return nil
}

// ask gives an error when the answer is no.
func (o *rotateCAOptions) ask(sys *System, inv *inventory.Inventory, old []string) error {
	var titles []string
	for _, name := range old {
		titles = append(titles, fmt.Sprintf("%s (%s)", name, inv.Authorities[name].Subject))
	}
	yes, err := sys.confirm(fmt.Sprintf("Stop believing %s everywhere, once nothing in the fleet needs it? What it has signed is refused from then on.", strings.Join(titles, ", ")))
	if err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(sys.Err, "nothing was done")
		return exitStatus(exitInterrupted)
	}
	return nil
}

// next says what there is to do after a run in which all went well.
func (o *rotateCAOptions) next(inv *inventory.Inventory, old []string) (lines []string) {
	for _, name := range old {
		a, by := inv.Authorities[name], pki.Successor(inv.Authorities, name)
		switch o.until {
		case untilTrust:
			lines = append(lines, fmt.Sprintf("%s is believed beside %s; next: pgfleet rotate-ca", by, name))
		case untilReissue:
			lines = append(lines, fmt.Sprintf("certificates come from %s now, and %s is still believed, for as long as you like; next: pgfleet rotate-ca --until drop", by, name))
		case untilDrop:
			text := fmt.Sprintf("%s is believed no more: take it out of %s; %s keeps replaces: %s, so playbooks need no change", name, inv.File, by, name)
			if a.Replaces != "" {
				line := pki.Line(inv.Authorities, name)
				text = fmt.Sprintf("%s is believed no more: take it out of %s, and have %s say replaces: %s, so playbooks need no change", name, inv.File, by, line)
			}
			lines = append(lines, text)
			if a.Ours() {
				lines = append(lines, fmt.Sprintf("its key and records stay on %s in %s", a.Host, a.DirOrDefault()))
			}
			if up, ok := inv.Authorities[a.Issuer]; ok && up.Ours() && below(inv, by, a.Issuer) {
				lines = append(lines, fmt.Sprintf("whoever believes %s alone accepts what it has signed until %s revokes it: take it out, fetch %s/certs/ca.crt from %s, then: pgfleet revoke --file ca.crt --reason superseded",
					a.Issuer, a.Issuer, a.DirOrDefault(), a.Host))
			}
		}
	}
	return lines
}

// below tells whether an authority stands below another.
func below(inv *inventory.Inventory, name, above string) bool {
	for a, ok := inv.Authorities[name]; ok; a, ok = inv.Authorities[a.Issuer] {
		if a.Issuer == above {
			return true
		}
	}
	return false
}
