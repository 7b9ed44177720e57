package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// requestsOptions is what pgfleet authority requests was asked for.
type requestsOptions struct {
	to    string
	fleet fleetOptions
	out   outputOptions
}

func newAuthorityRequests(sys *System) *command {
	o := &requestsOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority requests", Usage: "Show what authorities that are offline or not ours are asked for, and write it for them", ArgsUsage: "[AUTHORITY…]",
			Description: `A run that needs a certificate or a list of revoked certificates of such an authority keeps the request beside the inventory
(authorities/NAME/), does everything else, and ends with exit code 7. This lists what waits. --to writes it into a folder to be carried or sent there: a
request for each certificate, what has to be in it, and the lists wanted, with a README that has the commands for whoever keeps the authority with
openssl. No host is contacted.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "to", Usage: "write everything into this `DIR`, a folder an authority", Destination: &o.to},
			}, o.fleet.flags(), o.out.flags("text", "json")),
			Action: func(c *cli.Context) error { return o.run(sys, c.Args().Slice()) },
		},
		examples: `pgfleet authority requests
			pgfleet authority requests --to /media/usb
			pgfleet authority requests company -o json`,
	}
}

// wanted is one thing that an authority is asked for.
type wanted struct {
	Authority string `json:"authority"`
	// Kind: authority (its own certificate), certificate or list.
	Kind string `json:"kind"`
	// Title in words. Host, Subject, Names, Days and File are a certificate's.
	Title   string     `json:"title"`
	Host    string     `json:"host,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Names   []string   `json:"names,omitempty"`
	Days    int        `json:"days,omitempty"`
	Made    *time.Time `json:"made,omitempty"`
	File    string     `json:"file,omitempty"`
	// Why, Number and Revoke (serial numbers that are new on it) are a list's.
	Why    string   `json:"why,omitempty"`
	Number string   `json:"number,omitempty"`
	Revoke []string `json:"revoke,omitempty"`
}

func (o *requestsOptions) run(sys *System, names []string) error {
	if err := o.out.check(); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	parties, err := foreignParties(inv, names)
	if err != nil {
		return err
	}
	list := []wanted{}
	for i := range parties {
		some, err := wantedOf(&parties[i], sys.Now())
		if err != nil {
			return asConfiguration(err)
		}
		list = append(list, some...)
	}
	if o.out.json {
		err = printers.WriteJSON(sys.Out, list)
	} else {
		printWanted(sys.Out, list)
	}
	if err != nil || o.to == "" {
		return err
	}
	return o.write(sys, parties)
}

// foreignParties gives the authorities that are offline or not ours, all or some.
func foreignParties(inv *inventory.Inventory, names []string) ([]desk.Party, error) {
	parties, err := tasks.Parties(inv.Authorities)
	if err != nil {
		return nil, asConfiguration(err)
	}
	if len(names) == 0 {
		return parties, nil
	}
	var out []desk.Party
	known := map[string]bool{}
	for _, p := range parties {
		known[p.Name] = true
		for _, name := range names {
			if name == p.Name {
				out = append(out, p)
			}
		}
	}
	for _, name := range names {
		if _, declared := inv.Authorities[name]; declared && !known[name] {
			return nil, usagef("authority: pgfleet has %s sign itself: nothing is handed out to it", name)
		} else if !known[name] {
			return nil, usagef("authority: the inventory has no offline or external authority %q%s", name, tasks.Suggest(name, known))
		}
	}
	return out, nil
}

func wantedOf(p *desk.Party, now time.Time) ([]wanted, error) {
	asks, err := p.Asks(now)
	if err != nil {
		return nil, err
	}
	var out []wanted
	if asks.Own {
		out = append(out, wanted{Authority: p.Name, Kind: "authority", Title: "its own certificate", Subject: p.Subject, Days: int(p.Wanted.ValidFor / (24 * time.Hour))})
	}
	for _, r := range asks.Requests {
		w := wanted{Authority: p.Name, Kind: "certificate", Title: "certificate for " + r.Title(), Host: r.Host, Subject: pki.FormatSubject(r.Template.Subject),
			Names: r.Template.Names(), Days: int(r.Template.ValidFor / (24 * time.Hour)), Made: &r.Made, File: r.File}
		out = append(out, w)
	}
	for _, l := range asks.Lists {
		w := wanted{Authority: p.Name, Kind: "list", Title: "list of revoked certificates of " + l.Subject, Why: l.Why, Number: l.Number.String()}
		for _, r := range l.Added {
			w.Revoke = append(w.Revoke, pki.FormatSerial(r.Serial))
		}
		out = append(out, w)
	}
	return out, nil
}

func printWanted(out io.Writer, list []wanted) {
	last := ""
	for _, w := range list {
		if w.Authority != last {
			fmt.Fprintf(out, "%s\n", printers.Clean(w.Authority))
			last = w.Authority
		}
		line := []string{w.Title}
		if len(w.Names) > 0 {
			line = append(line, "names "+strings.Join(w.Names, " "))
		}
		if w.Days > 0 {
			line = append(line, fmt.Sprintf("%d days", w.Days))
		}
		if w.Why != "" {
			line = append(line, w.Why, "number "+w.Number+" or higher")
		}
		if len(w.Revoke) > 0 {
			line = append(line, "revoke "+strings.Join(w.Revoke, " "))
		}
		fmt.Fprintln(out, "  "+printers.Clean(strings.Join(line, ", ")))
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "nothing waits for an authority that is offline or not ours")
	}
}

// write puts what authorities are asked for into the folder, one below it for each of them.
func (o *requestsOptions) write(sys *System, parties []desk.Party) error {
	for i := range parties {
		papers, err := parties[i].Papers(sys.Now())
		if err != nil {
			return asConfiguration(err)
		}
		dir := filepath.Join(o.to, parties[i].Name)
		for _, p := range papers {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return &usageError{text: "--to: " + err.Error()}
			}
			if err := os.WriteFile(filepath.Join(dir, p.Name), p.Data, 0o666); err != nil {
				return &usageError{text: "--to: " + err.Error()}
			}
		}
		if len(papers) > 0 {
			fmt.Fprintf(sys.Err, "wrote %d files to %s; its README says what to do\n", len(papers), printers.Clean(dir))
		}
	}
	return nil
}
