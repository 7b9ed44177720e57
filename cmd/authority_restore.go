package cmd

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// restoreOptions is what pgfleet authority restore was asked for.
type restoreOptions struct {
	identity string
	askPass  bool
	records  bool
	leaveOut bool
	yes      bool
	vars     []string
	fleet    fleetOptions
	apply    applyOptions
}

func newAuthorityRestore(sys *System) *command {
	o := &restoreOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority restore", Usage: "Bring an authority back from a backup, not below what the fleet has seen of it", ArgsUsage: "FILE|AUTHORITY",
			Description: `Puts the authority of a backup back on the host that the inventory names for it, the same as before or another. An authority that is there is not
overwritten. The key is opened on that host, by the file there that --identity names (the age identity, or the key of the certificate to
which it was encrypted); this machine sees neither.

All hosts are looked at before. Certificates that they have and the backup lacks are taken into the records, revocations in lists in force
are put on record, and list numbers go on above the highest that was seen: nobody is let in again, and servers take the new list. A host that
cannot be looked at stops it (exit 4) unless --leave-out-unreachable goes on without what only that host may have seen.

--records does the second half alone, to an authority that is there and whose records were lost or came from an old copy.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "identity", Usage: "`PATH` on the authority's host of what opens the backup's key; take it away from there afterwards", Destination: &o.identity},
				&cli.BoolFlag{Name: "ask-identity-pass", Usage: "ask for the passphrase of that file, where it is the key of a certificate and has one", Destination: &o.askPass},
				&cli.BoolFlag{Name: "records", Usage: "only take into the records of an authority that is there what the fleet has seen of it", Destination: &o.records},
				&cli.BoolFlag{Name: "leave-out-unreachable", Usage: "go on without hosts that cannot be looked at", Destination: &o.leaveOut},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes},
				rootVarsFlag(),
			}, o.apply.changeFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "FILE|AUTHORITY"); err != nil {
					return err
				}
				o.vars = c.StringSlice("extra-vars")
				return o.do(c.Context, sys, c.Args().First())
			},
		},
		examples: `pgfleet authority restore clients-20261126T140000Z.tar.gz --identity /root/backup.identity
			pgfleet authority restore --records clients`,
	}
}

// read gives the authority, and the backup unless only records are wanted. Nothing is contacted.
func (o *restoreOptions) read(sys *System, inv *inventory.Inventory, word string) (a pki.Authority, b *backup.Backup, err error) {
	name := word
	if !o.records {
		if b, err = readBackup(word); err != nil {
			return a, nil, err
		}
		name = b.Authority
	}
	chosen, err := chooseAuthorities(inv, []string{name})
	if err != nil {
		return a, nil, err
	}
	switch {
	case o.records && o.identity != "":
		return a, nil, usagef("authority restore: --identity has no meaning with --records, which needs no backup")
	case b != nil && b.Sealed == "token" && o.identity == "":
	case !o.records && (!path.IsAbs(o.identity) || path.Clean(o.identity) != o.identity):
		return a, nil, &usageError{text: "authority restore: --identity wants the absolute path of a file on " + chosen[0].Host,
			hint: "put the age identity (or the key of the certificate) there, readable by root alone, and take it away afterwards"}
	case o.askPass && (b == nil || b.Sealed != "cms"):
		return a, nil, &usageError{text: "authority restore: --ask-identity-pass is for the key of a certificate", hint: "age asks on a terminal only: open the identity on the host, age -d -o /dev/shm/identity identity.age"}
	case (!o.yes || o.askPass) && !o.apply.checkOnly && !sys.canAsk():
		return a, nil, &usageError{text: "authority restore: " + errNoTerminal.Error(), hint: "-y restores without asking, --check only shows what would be done"}
	}
	return chosen[0], b, nil
}

func readBackup(file string) (*backup.Backup, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer f.Close()
	b, err := backup.Read(f)
	if err != nil {
		return nil, usagef("%s: %v", file, err)
	}
	return b, nil
}

func (o *restoreOptions) do(ctx context.Context, sys *System, word string) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	a, b, err := o.read(sys, inv, word)
	if err != nil {
		return err
	}
	restricted := a.Restricted()
	changed, err := asRoot(inv, o.fleet, "authority restore", []pki.Authority{a}, o.vars)
	if err != nil {
		return err
	}
	a = changed[0]
	fleet, err := o.look(ctx, sys, inv)
	if err != nil {
		return err
	}
	ca, err := authorityCertificate(fleet, a, b)
	if err != nil {
		return err
	}
	task := &tasks.Restore{Authority: a, Backup: b, Identity: o.identity, Seen: fleet.SeenOf(ca)}
	if err := o.ask(sys, task); err != nil {
		return err
	}
	if o.askPass && !o.apply.checkOnly {
		if task.Opener, err = sys.secret("passphrase of " + o.identity + " on " + a.Host + ": "); err != nil {
			return err
		}
	}
	h, _ := inv.Host(a.Host)
	plan := &playbooks.Plan{Playbook: "restore", Inventory: inv, Hosts: []*inventory.Host{h}, Plays: []playbooks.PlannedPlay{{Name: "Restore authority " + a.Name,
		Batches: [][]string{{h.Name}}, Tasks: map[string][]playbooks.PlannedTask{h.Name: {{Kind: "restore", Task: task}}}}}}
	outcome, err := o.apply.outcome(ctx, sys, plan)
	if outcome != nil && !o.apply.checkOnly && outcome.Hosts[h.Name].Kind == events.Changed {
		if o.identity != "" {
			fmt.Fprintf(sys.Err, "notice: take %s away from %s\n", o.identity, a.Host)
		}
		if restricted {
			fmt.Fprintf(sys.Err, "notice: pgfleet authority restrict %s, with the same -e, sees that %s signs by its policy\n", a.Name, a.Host)
		}
		fmt.Fprintln(sys.Err, "notice: pgfleet run crl brings the newest lists to servers and clients")
	}
	return err
}

// look sees what the fleet has.
func (o *restoreOptions) look(ctx context.Context, sys *System, inv *inventory.Inventory) (*survey.Fleet, error) {
	certs := &certsOptions{fleet: o.fleet, connect: o.apply.connect}
	fleet, _, err := certs.look(ctx, sys, inv, inv.Hosts)
	if err != nil {
		return nil, err
	}
	fleet.Unseen = slices.DeleteFunc(fleet.Unseen, func(u survey.Unseen) bool { return u.Host == "" }) // files of this machine
	for _, u := range fleet.Unseen {
		fmt.Fprintln(sys.Err, "notice: "+printers.Clean(fmt.Sprintf("%s could not be looked at, and what only it has of the authority is not known: %s", u.Host, u.Reason)))
	}
	if len(fleet.Unseen) > 0 && !o.leaveOut {
		fmt.Fprintln(sys.Err, "error: nothing was restored\nhint: --leave-out-unreachable goes on without what only these hosts have seen")
		return nil, exitStatus(exitUnreachable)
	}
	return fleet, nil
}

// authorityCertificate is that of the backup, or of the authority that is there.
func authorityCertificate(fleet *survey.Fleet, a pki.Authority, b *backup.Backup) (*x509.Certificate, error) {
	if b != nil {
		return b.Certificate()
	}
	for _, each := range fleet.Authorities {
		if each.Name == a.Name && each.Cert != nil {
			return each.Cert, nil
		}
	}
	return nil, &hostError{text: fmt.Sprintf("authority %s has no certificate on %s", a.Name, a.Host), hint: "pgfleet authority restore FILE brings it back from a backup"}
}

// ask shows what is at hand; the error is the answer no.
func (o *restoreOptions) ask(sys *System, t *tasks.Restore) error {
	a, b := t.Authority, t.Backup
	lines := []string{fmt.Sprintf("the fleet has of authority %s: %s, %s in lists, highest list number %v", a.Name, printers.Count(len(t.Seen.Certificates), "certificate"), printers.Count(len(t.Seen.Revoked), "revocation"), number(t.Seen))}
	question := fmt.Sprintf("Take what its records lack into those of authority %s on %s?", a.Name, a.Host)
	if b != nil {
		lines = append([]string{fmt.Sprintf("backup of authority %s on %s, %s: %s", b.Authority, b.Host, b.Made.Format("2006-01-02 15:04 MST"), contents(b))}, lines...)
		question = fmt.Sprintf("Restore authority %s to %s on %s?", a.Name, a.DirOrDefault(), a.Host)
		if b.Host != a.Host {
			lines = append(lines, fmt.Sprintf("it was on %s: from now on nothing there may sign any more, or the records of the two drift apart", b.Host))
		}
	}
	for _, line := range lines {
		fmt.Fprintln(sys.Err, printers.Clean(line))
	}
	if o.yes || o.apply.checkOnly {
		return nil
	}
	yes, err := sys.confirm(question)
	if err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(sys.Err, "nothing was done")
		return exitStatus(exitInterrupted)
	}
	return nil
}

func number(s *survey.Seen) string {
	if s.Number == nil {
		return "none"
	}
	return s.Number.String()
}
