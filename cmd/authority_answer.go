package cmd

import (
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// answerOptions is what pgfleet authority answer was asked for.
type answerOptions struct {
	yes, checkOnly bool
	fleet          fleetOptions
}

func newAuthorityAnswer(sys *System) *command {
	o := &answerOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority answer", Usage: "Take in certificates and lists that came back from authorities that are offline or not ours", ArgsUsage: "FILE…",
			Description: `Every certificate and list in the files (PEM, also PKCS#7 in PEM; - is standard input) is checked: it belongs to a request that waits, was signed by
the authority that was asked, has the names, use and life that were asked and nothing beyond them, and has not ended. A list is that of such an
authority, its number rises, and nothing revoked is missing. When one of them is not accepted, each is named with the reason and nothing is taken in
(exit 5). What came before is passed over. The next run of the playbook goes on with what was taken in.

An offline authority's own certificate is believed because you hand it in: compare its fingerprint first. No host is contacted.`,
			Flags: join([]cli.Flag{
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether an offline authority's own certificate is the right one", Destination: &o.yes},
				&cli.BoolFlag{Name: "check", Aliases: []string{"C"}, Usage: "only check, and take nothing in", Destination: &o.checkOnly},
			}, o.fleet.flags()),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "FILE…"); err != nil {
					return err
				}
				return o.run(sys, c.Args().Slice())
			},
		},
		examples: `pgfleet authority answer /media/usb/company/*.crt
			pgfleet authority answer root.crt intermediate.crt root.crl
			curl -sSf http://pki.example.com/issuing.crl | openssl crl -inform DER | pgfleet authority answer -`,
	}
}

func (o *answerOptions) run(sys *System, names []string) error {
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	parties, err := foreignParties(inv, nil)
	if err != nil {
		return err
	}
	if len(parties) == 0 {
		return &usageError{text: "authority answer: the inventory has no authority that is offline or external", hint: "docs/offline.md shows how one is declared"}
	}
	var files []desk.File
	for _, name := range names {
		f, err := handedIn(sys, name)
		if err != nil {
			return usagef("authority answer: %v", err)
		}
		files = append(files, f)
	}
	found, err := desk.Check(parties, serverTemplates(inv), files, sys.Now())
	if err != nil {
		return &usageError{text: err.Error(), hint: "nothing was taken in; pgfleet authority requests --to DIR writes what was asked for"}
	}
	printFound(sys.Out, found)
	if o.checkOnly {
		return nil
	}
	if err := o.vouch(sys, found); err != nil {
		return err
	}
	if err := found.Store(sys.Now()); err != nil {
		return fmt.Errorf("keep what came back: %w", err)
	}
	return nil
}

// serverTemplates gives what the certificates of the inventory's servers are to say, as far as the inventory tells it.
func serverTemplates(inv *inventory.Inventory) []pki.Template {
	var out []pki.Template
	for _, h := range inv.Hosts {
		if !h.HasRole("db_server") {
			continue
		}
		t := pki.Template{Profile: pki.ProfileServer}
		for _, name := range append([]string{h.Name, h.Address}, h.Names...) {
			if ip, err := netip.ParseAddr(name); err == nil {
				t.IPAddresses = append(t.IPAddresses, ip.WithZone("").Unmap().AsSlice())
			} else if name != "" {
				t.DNSNames = append(t.DNSNames, name)
			}
		}
		out = append(out, t)
	}
	return out
}

// handedIn reads a file, no more of it than shows that it is too large.
func handedIn(sys *System, name string) (desk.File, error) {
	from := sys.In
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return desk.File{}, err
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, largestFile))
	return desk.File{Name: name, Data: data}, err
}

// vouch has somebody say that an offline authority's own certificate is the right one.
func (o *answerOptions) vouch(sys *System, found *desk.Intake) error {
	if len(found.Anchors) == 0 || o.yes {
		return nil
	}
	if !sys.canAsk() {
		return &usageError{text: "authority answer: " + errNoTerminal.Error(), hint: "-y believes the certificate of the authority with the fingerprint above"}
	}
	yes, err := sys.confirm("Is this the right fingerprint? From now on the fleet believes whoever has that key.")
	if err != nil {
		return err
	}
	if !yes {
		fmt.Fprintln(sys.Err, "nothing was taken in")
		return exitStatus(exitInterrupted)
	}
	return nil
}

func printFound(out io.Writer, found *desk.Intake) {
	line := func(format string, args ...any) { fmt.Fprintln(out, printers.Clean(fmt.Sprintf(format, args...))) }
	for _, a := range found.Anchors {
		line("authority %s: its own certificate %s, until %s, sha256 %s", a.Authority, pki.FormatSubject(a.Cert.Subject), a.Cert.NotAfter.UTC().Format("2006-01-02"), pki.Fingerprint(a.Cert))
	}
	for _, f := range found.Answers {
		line("authority %s: certificate for %s, serial %s, until %s", f.Authority, f.Request.Title(), pki.FormatSerial(f.Cert.SerialNumber), f.Cert.NotAfter.UTC().Format("2006-01-02"))
	}
	for _, l := range found.Lists {
		line("authority %s: list of %s, number %d, %d revoked, until %s", l.Authority, l.Issuer, l.List.Number, len(l.List.RevokedCertificateEntries), l.List.NextUpdate.UTC().Format("2006-01-02"))
	}
	if found.Known > 0 {
		line("%d came before", found.Known)
	}
}
