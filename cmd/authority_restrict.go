package cmd

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// restrictOptions is what pgfleet authority restrict was asked for.
type restrictOptions struct {
	name, user, key string
	print           bool
	vars            []string
	fleet           fleetOptions
	apply           applyOptions
}

// restrictPlaybook makes an authority, installs what its host signs with from then on, and sees that it answers. It is no shipped playbook: it needs another login than the
// inventory's.
const restrictPlaybook = `name: Restrict an authority
vars: {authority: "", holder: "", user: "", key: ""}
plays:
  - name: Restrict an authority
    hosts: "{{ holder }}"
    tasks:
      - authority: {name: "{{ authority }}"}
      - authority_program: {name: "{{ authority }}", user: "{{ user }}", key: "{{ key }}"}
`

func newAuthorityRestrict(sys *System) *command {
	o := &restrictOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority restrict", Usage: "Let the host of an authority sign by its own policy, and do nothing else", ArgsUsage: "NAME",
			Description: `For an authority with mode: restricted. Makes what is missing of it, installs the program and its policy from the inventory, lets a user run that program
alone, and sees that it answers to that user. Run again, it brings program and policy up to date. All that needs root on the host:
log in as somebody who has it, with -e ssh_user=ADMIN (and -e ssh_identity_file=FILE). From then on pgfleet needs no root there.

The user is the one that the inventory logs in as (ssh_user), or --user. With sudo, a rule in ` + "`/etc/sudoers.d/pgfleet-ca`" + ` is all that it
needs; other rules of that user are named and have to be taken away by hand. With --key, that SSH key gets the program
whatever is asked for, and no shell. --print writes the files instead, for installing by hand, and contacts nobody.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "user", Usage: "the `USER` who logs in from here (default: the ssh_user of the inventory)", Destination: &o.user},
				&cli.StringFlag{Name: "key", Usage: "a `FILE` with the public SSH key that gets nothing but the program", Destination: &o.key},
				&cli.BoolFlag{Name: "print", Usage: "print what would be installed, and contact nobody", Destination: &o.print},
				&cli.StringSliceFlag{Name: "extra-vars", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE`: ssh_user and the like for this login"},
			}, o.apply.changeFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "NAME"); err != nil {
					return err
				}
				o.name, o.vars = c.Args().First(), c.StringSlice("extra-vars")
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet authority restrict clients -e ssh_user=admin --check --diff
			pgfleet authority restrict clients -e ssh_user=admin -K
			pgfleet authority restrict clients -e ssh_user=root --user pgfleet --key pgfleet-ca.pub
			pgfleet authority restrict clients --print`,
	}
}

func (o *restrictOptions) run(ctx context.Context, sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	vars, err := assignments("variable", o.vars)
	if err == nil {
		err = onlyConnecting("authority restrict", vars)
	}
	if err != nil {
		return err
	}
	inv, err := o.fleet.load(vars)
	if err != nil {
		return err
	}
	a, err := restrictable(inv, o.name)
	if err != nil {
		return err
	}
	key, err := o.publicKey()
	if err != nil {
		return err
	}
	if o.user == "" {
		plain, err := o.fleet.load(nil)
		if err != nil {
			return err
		}
		o.user = hostOf(plain, a).Target.User
	}
	unlock(inv, a.Host)
	pb, err := playbooks.Parse("pgfleet authority restrict", []byte(restrictPlaybook))
	if err != nil {
		return err
	}
	for name, value := range map[string]any{"authority": o.name, "holder": a.Host, "user": o.user, "key": key} {
		vars[name] = value
	}
	plan, err := playbooks.NewPlan(pb, inv, playbooks.PlanOptions{Vars: vars})
	if err != nil {
		return asConfiguration(err)
	}
	if o.print {
		return o.printFiles(sys, inv, a, key)
	}
	return o.apply.apply(ctx, sys, plan)
}

// restrictable gives the authority of a name, if it is in mode restricted.
func restrictable(inv *inventory.Inventory, name string) (pki.Authority, error) {
	a, ok := inv.Authorities[name]
	known := map[string]bool{}
	for n := range inv.Authorities {
		known[n] = true
	}
	switch {
	case !ok:
		return a, &usageError{text: fmt.Sprintf("authority restrict: there is no authority %q in the inventory%s", name, tasks.Suggest(name, known))}
	case !a.Restricted():
		return a, &usageError{text: fmt.Sprintf("authority restrict: %s is not in mode restricted", name), hint: fmt.Sprintf("write mode: restricted under authorities.%s of the inventory first", name)}
	}
	return a, nil
}

// hostOf is the host of an authority.
func hostOf(inv *inventory.Inventory, a pki.Authority) *inventory.Host {
	for _, h := range inv.Hosts {
		if h.Name == a.Host {
			return h
		}
	}
	return nil // the inventory has checked it
}

// unlock has a host and its authorities treated as in mode convenient, by a login that is root there.
func unlock(inv *inventory.Inventory, host string) {
	for name, a := range inv.Authorities {
		if a.Host == host {
			a.Mode = ""
			inv.Authorities[name] = a
		}
	}
	for _, h := range inv.Hosts {
		if h.Name == host {
			h.Target.Program = ""
		}
	}
}

// publicKey reads --key.
func (o *restrictOptions) publicKey() (string, error) {
	if o.key == "" {
		return "", nil
	}
	data, err := readFile(o.key)
	if err != nil {
		return "", &usageError{text: "authority restrict: --key: " + err.Error()}
	}
	text := strings.TrimSpace(string(data))
	if strings.Contains(text, "PRIVATE KEY") {
		return "", &usageError{text: "authority restrict: --key " + o.key + " is a private key", hint: "name the public half, " + o.key + ".pub"}
	}
	if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		return "", &usageError{text: "authority restrict: --key " + o.key + ": is not one line of an OpenSSH public key", hint: "ssh-keygen writes it to a file whose name ends with .pub"}
	}
	return text, nil
}

// printFiles writes what would be installed.
func (o *restrictOptions) printFiles(sys *System, inv *inventory.Inventory, a pki.Authority, key string) error {
	files, err := tasks.RestrictedFiles(inv.Authorities, a, o.user)
	if err != nil {
		return &usageError{text: err.Error()}
	}
	fmt.Fprintf(sys.Out, "# On %s, as root, once authority %s is made (pgfleet run mtls in mode: convenient makes it).\n", a.Host, a.Name)
	fmt.Fprintln(sys.Out, "umask 022; mkdir -p /usr/local/lib/pgfleet "+tasks.PolicyFolder)
	for _, f := range files {
		fmt.Fprintf(sys.Out, "install -m %04o -o root -g root /dev/stdin %s <<'END OF FILE'\n%sEND OF FILE\n", f.Mode, f.Path, f.Text)
	}
	if key != "" {
		fmt.Fprintf(sys.Out, "# A line of authorized_keys of %s:\n# %s\n", o.user, tasks.ForcedCommand(o.user, key))
	}
	return nil
}
