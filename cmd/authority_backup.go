package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// backupOptions is what pgfleet authority backup was asked for.
type backupOptions struct {
	recipients cli.StringSlice
	to         string
	vars       []string
	fleet      fleetOptions
	connect    connectOptions
}

func newAuthorityBackup(sys *System) *command {
	o := &backupOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority backup", Usage: "Keep a copy of authorities on this machine, their keys encrypted to somebody else", ArgsUsage: "[AUTHORITY…]",
			Description: `Writes one file an authority, NAME-TIME.tar.gz, mode 0600: certificate, records, lists and numbers, and the private key, which its own host has
encrypted to the recipient before it leaves: nobody can open it here. Without names, every authority whose key is on a host of the inventory.

A recipient is age1… or ssh-…, for which the host needs age (apt-get install age), or the file of a certificate in PEM, for which it needs
openssl alone. Plugins' recipients (age1yubikey1…) need the plugin there. It may be given several times, but only one certificate.
Keep what opens it (the age identity, the certificate's key) away from this machine and from the authority's host; authority
restore wants it.`,
			Flags: join([]cli.Flag{
				&cli.StringSliceFlag{Name: "recipient", Aliases: []string{"r"}, Usage: "`WHO` can open the key: age1…, ssh-…, or a file with such lines or with one certificate", Destination: &o.recipients},
				&cli.StringFlag{Name: "to", Value: ".", Usage: "`FOLDER` to write to (default: this one)", Destination: &o.to},
				rootVarsFlag(),
			}, o.fleet.flags(), o.connect.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "[AUTHORITY…]"); err != nil {
					return err
				}
				o.vars = c.StringSlice("extra-vars")
				return o.do(c.Context, sys, c.Args().Slice())
			},
		},
		examples: `pgfleet authority backup --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq --to /srv/backups
			pgfleet authority backup clients --recipient backup.crt
			pgfleet authority backup clients --recipient backup.crt -e ssh_user=admin   # in mode restricted`,
	}
}

func (o *backupOptions) do(ctx context.Context, sys *System, names []string) error {
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	authorities, err := chooseAuthorities(inv, names)
	if err != nil {
		return err
	}
	var recipient []byte
	if len(o.recipients.Value()) > 0 || slices.ContainsFunc(authorities, func(a pki.Authority) bool { return a.Key == "" }) {
		if recipient, err = readRecipients(o.recipients.Value()); err != nil {
			return err
		}
	}
	if info, err := os.Stat(o.to); err != nil || !info.IsDir() {
		return usagef("--to %s: there is no such folder; make one that only you can read", o.to)
	}
	if authorities, err = asRoot(inv, o.fleet, "authority backup", authorities, o.vars); err != nil {
		return err
	}
	plan, found := askingPlan(inv, authorities, "backup", func(a pki.Authority) transport.Step { return tasks.BackupProbe(a, recipient) },
		func(a pki.Authority, h *tasks.Host) (*backup.Backup, error) {
			r, err := h.View.Get(tasks.KeyBackup(a.Name))
			if err != nil {
				return nil, err
			}
			return tasks.Backup(a, r)
		})
	missing, err := o.connect.look(ctx, sys, plan, "not backed up")
	if err != nil {
		return err
	}
	var lost []error
	for _, a := range authorities {
		b := found[a.Name]
		if b == nil {
			continue
		}
		err := sealedToItself(b, recipient)
		var path string
		if err == nil {
			path, err = saveBackup(o.to, b)
		}
		if err != nil {
			lost = append(lost, fmt.Errorf("write backup of authority %s: %w", a.Name, err))
			continue
		}
		fmt.Fprintln(sys.Out, printers.Clean(fmt.Sprintf("%s  %s", path, contents(b))))
	}
	if len(lost) > 0 {
		return errors.Join(lost...)
	}
	return missing
}

// contents says in short what a backup holds.
func contents(b *backup.Backup) string {
	text := fmt.Sprintf("%s on record, %d revoked; ", printers.Count(len(b.Serials("issued")), "certificate"), len(b.Serials("revoked")))
	switch {
	case b.Sealed == "token":
		return text + "the key is in a token, and not in here"
	case b.Passphrase:
		return text + "the key is encrypted by " + b.Sealed + " and has its passphrase"
	}
	return text + "the key is encrypted by " + b.Sealed
}

// chooseAuthorities gives those that are named, or all, in order, of those whose keys are on hosts.
func chooseAuthorities(inv *inventory.Inventory, names []string) ([]pki.Authority, error) {
	known := map[string]bool{}
	for name, a := range inv.Authorities {
		known[name] = a.Ours()
	}
	if len(names) == 0 {
		names = sortedNames(inv.Authorities)
	} else {
		for i, name := range names {
			ours, ok := known[name]
			switch {
			case !ok:
				return nil, usagef("the inventory has no authority %q%s", name, tasks.Suggest(name, known))
			case slices.Contains(names[:i], name):
				return nil, usagef("authority %s is named twice", name)
			case !ours:
				return nil, usagef("the key of authority %s is on no host of the inventory (offline or external)", name)
			}
		}
	}
	var out []pki.Authority
	for _, name := range names {
		if known[name] {
			out = append(out, inv.Authorities[name])
		}
	}
	if len(out) == 0 {
		return nil, usagef("the inventory has no authority whose key is on a host")
	}
	return out, nil
}
