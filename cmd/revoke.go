package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// revokeOptions is what pgfleet revoke was asked for.
type revokeOptions struct {
	choice    revokeChoice
	file      string
	reason    string
	terminate bool
	offboard  bool
	yes       bool
	fleet     fleetOptions
	apply     applyOptions
}

func newRevoke(sys *System) *command {
	o := &revokeOptions{}
	return &command{
		Command: &cli.Command{
			Name: "revoke", Usage: "Have certificates refused everywhere, from now on",
			Description: `Finds the certificates in the records of the inventory's authorities, shows them, and asks. Then they are put on record as revoked
and listed by their authority. The new list is checked and brought to every server, which proves it, for a client's certificate,
or to every client, for a server's. --host, --name and --authority narrow each other down; --serial and --file mean one certificate.

Hosts that cannot be reached are named at the end (exit 4); the next run of this, of the playbook crl or of mtls brings them the
list. Sessions that are open go on unless --terminate ends them. The holder of a revoked certificate gets a new one by the next
run of mtls: from the same key, or from a new one after keyCompromise. With --offboard there shall be no new one: take the host
or the identity out of the inventory too.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "host", Usage: "all certificates of the `HOST` that holds their keys; also one that is not in the inventory any more", Destination: &o.choice.host},
				&cli.StringFlag{Name: "name", Usage: "those with this common `NAME`: a database user, a server's first name", Destination: &o.choice.name},
				&cli.StringFlag{Name: "serial", Usage: "the one with this serial `NUMBER`, in hexadecimal digits or as PostgreSQL's log has it", Destination: &o.choice.serial},
				&cli.StringFlag{Name: "file", Usage: "the one in this `FILE` on this machine, in PEM", Destination: &o.file},
				&cli.StringFlag{Name: "authority", Usage: "only those that this `AUTHORITY` of the inventory has issued", Destination: &o.choice.authority},
				&cli.BoolFlag{Name: "all", Usage: "all that --host and --name mean, on however many hosts", Destination: &o.choice.all},
				&cli.StringFlag{Name: "reason", Value: "unspecified", Usage: "`WHY`: unspecified, keyCompromise, CACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold", Destination: &o.reason},
				&cli.BoolFlag{Name: "terminate", Usage: "end the sessions that were opened with them, on every server", Destination: &o.terminate},
				&cli.BoolFlag{Name: "offboard", Usage: "also end the sessions, take the clients' rules on the servers away, and remove their files", Destination: &o.offboard},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes},
			}, o.apply.changeFlags(), o.fleet.flags(), o.apply.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c); err != nil {
					return err
				}
				return o.do(c.Context, sys)
			},
		},
		examples: `pgfleet revoke --host app1.example.net --reason keyCompromise --terminate
			pgfleet revoke --name dbuser1 --host app1.example.net --check
			pgfleet revoke --name dbuser9 --all --reason cessationOfOperation
			pgfleet revoke --host app9.example.net --offboard
			pgfleet revoke --serial 4A3F9C01D2 -y
			pgfleet revoke --file old.crt --reason superseded`,
	}
}

// check refuses what makes no sense before anything is read or contacted.
func (o *revokeOptions) check(sys *System) error {
	if err := o.apply.check(); err != nil {
		return err
	}
	if _, err := pki.ParseReason(o.reason); err != nil {
		return usagef("--reason: %v", err)
	}
	if o.file != "" {
		data, err := readFile(o.file)
		if err != nil {
			return usagef("--file: %v", err)
		}
		certs, err := pki.ParseCertificates(data)
		if err != nil {
			return &usageError{text: fmt.Sprintf("--file %s: %v", o.file, err), hint: "a certificate in PEM is wanted; of several in the file the first counts"}
		}
		o.choice.cert = certs[0]
	}
	if err := o.choice.check(); err != nil {
		return err
	}
	if o.offboard && o.choice.exact() {
		return usagef("revoke: --offboard goes with --host and --name: an identity may have other certificates than one")
	}
	if !o.yes && !o.apply.checkOnly && !sys.canAsk() {
		return &usageError{text: "revoke: " + errNoTerminal.Error(), hint: "-y revokes without asking, --check only shows what would be done"}
	}
	return nil
}

func (o *revokeOptions) do(ctx context.Context, sys *System) error {
	if err := o.check(sys); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	if err := o.choice.resolve(inv); err != nil {
		return err
	}
	closeDoor, err := o.apply.connect.keep(sys, inv.Hosts)
	if err != nil {
		return err
	}
	defer closeDoor()
	records, missing, err := o.records(ctx, sys, inv)
	if err != nil {
		return err
	}
	chosen, err := o.choice.choose(records, sys.Now())
	// Whoever has not answered may have what is looked for; not where one certificate is meant, and found.
	if missing != nil && (err != nil || !o.choice.exact()) {
		fmt.Fprintln(sys.Err, "hint: --authority NAME asks that one alone")
		return missing
	}
	if err != nil {
		return err
	}
	for _, c := range chosen {
		fmt.Fprintln(sys.Err, printers.Clean(describeIssued(c)))
	}
	if !o.yes && !o.apply.checkOnly {
		if err := o.ask(sys, chosen); err != nil {
			return err
		}
	}
	plan, err := o.plan(inv, chosen)
	if err != nil {
		return err
	}
	if !o.apply.checkOnly {
		if err := o.wish(inv, chosen, sys.Now()); err != nil {
			return err
		}
	}
	outcome, err := o.apply.outcome(ctx, sys, plan)
	if outcome != nil && !o.apply.checkOnly {
		for _, line := range o.notes(inv, chosen, besides(records, chosen, sys.Now()), outcome) {
			fmt.Fprintln(sys.Err, "notice: "+printers.Clean(line))
		}
	}
	return err
}

// ask gives an error when the answer is no.
func (o *revokeOptions) ask(sys *System, chosen []tasks.Issued) error {
	what := "Revoke this certificate"
	if len(chosen) > 1 {
		what = fmt.Sprintf("Revoke these %d certificates", len(chosen))
	}
	if o.offboard {
		what += ", and remove their holders' keys, files and rules"
	}
	yes, err := sys.confirm(fmt.Sprintf("%s (%s)? There is no way back.", what, o.reason))
	if err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(sys.Err, "nothing was done")
		return exitStatus(exitInterrupted)
	}
	return nil
}

// plan is a run of the playbook that is part of pgfleet.
func (o *revokeOptions) plan(inv *inventory.Inventory, chosen []tasks.Issued) (*playbooks.Plan, error) {
	source, ok := playbooks.ShippedSource("revoke")
	if !ok {
		return nil, fmt.Errorf("the playbook revoke is missing")
	}
	pb, err := playbooks.Parse("playbooks/revoke.yaml", source)
	if err != nil {
		return nil, err
	}
	var certificates []any
	for _, c := range chosen {
		certificates = append(certificates, c.Certificate())
	}
	vars := map[string]any{"certificates": certificates, "reason": o.reason}
	if o.terminate || o.offboard {
		vars["end_sessions"] = certificates
	}
	if o.offboard {
		vars["offboard"] = identitiesOf(inv, chosen)
	}
	tags := []string{"authorities"}
	for role, tag := range map[string]string{"db_server": "servers", "client": "clients"} {
		if concerns(chosen, role) || o.offboard {
			tags = append(tags, tag)
		}
	}
	plan, err := playbooks.NewPlan(pb, inv, playbooks.PlanOptions{Vars: vars, Tags: tags})
	return plan, asConfiguration(err)
}

// concerns tells whether hosts of a role get to see one of the certificates: servers those of clients, clients those of servers, all those of whom that is not known.
func concerns(chosen []tasks.Issued, role string) bool {
	return slices.ContainsFunc(chosen, func(c tasks.Issued) bool {
		return !(c.Profile == pki.ProfileClient && role == "client" || c.Profile == pki.ProfileServer && role == "db_server")
	})
}

// identitiesOf gives the identities of the inventory, CLIENT/DATABASE-USER, that hold clients' certificates.
func identitiesOf(inv *inventory.Inventory, chosen []tasks.Issued) []any {
	out := []any{}
	for _, c := range chosen {
		for _, h := range inv.Hosts {
			for _, id := range h.Identities {
				word := h.Name + "/" + id.DBUser
				if h.Name == c.Host && c.Profile == pki.ProfileClient && hasCommonName(c.Subject, id.DBUser) && !slices.Contains(out, any(word)) {
					out = append(out, word)
				}
			}
		}
	}
	return out
}

// describeIssued is one certificate in one line.
func describeIssued(i tasks.Issued) string {
	parts := []string{i.Certificate(), string(i.Profile)}
	if i.Subject != "" {
		parts = append(parts, i.Subject)
	}
	if i.Host != "" {
		parts = append(parts, "on "+i.Host)
	}
	parts = append(parts, "until "+i.Expires.UTC().Format("2006-01-02"))
	if i.Revoked != nil {
		parts = append(parts, fmt.Sprintf("(revoked on %s, %s)", i.Revoked.At.UTC().Format("2006-01-02"), pki.ReasonName(i.Revoked.Reason)))
	}
	return strings.Join(parts, "  ")
}
