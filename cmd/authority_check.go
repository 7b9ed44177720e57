package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// checkOptions is what pgfleet authority check was asked for.
type checkOptions struct {
	in      string
	maxAge  string
	open    bool
	fleet   fleetOptions
	connect connectOptions
	out     outputOptions

	age time.Duration
}

func newAuthorityCheck(sys *System) *command {
	o := &checkOptions{}
	return &command{
		Command: &cli.Command{
			Name: "authority check", Usage: "Tell whether authorities are sound, and whether their backups would do", ArgsUsage: "[AUTHORITY…]",
			Description: `Each authority: its key belongs to its certificate (with a passphrase or a PIN, that is seen only with --open-keys), its records, index.txt, list and numbers agree,
and what servers and clients have is on record. With --in, its newest backup there: it can be read, is whole, is of this authority, and
lacks nothing that was issued or revoked since. Nothing is changed.

Fit for cron: exit 2 when an authority is not sound or has no backup that can be read, 8 when its backup is out of date.`,
			Flags: join([]cli.Flag{
				&cli.StringFlag{Name: "in", Usage: "`FOLDER` that authority backup writes to, or one such file", Destination: &o.in},
				&cli.StringFlag{Name: "max-age", Usage: "a backup is out of date after this `TIME` (30d), whatever was done since", Destination: &o.maxAge},
				&cli.BoolFlag{Name: "open-keys", Usage: "also see that the passphrase or PIN that the inventory refers to opens the key", Destination: &o.open},
			}, o.fleet.flags(), o.connect.flags(), o.out.flags("text", "json")),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "[AUTHORITY…]"); err != nil {
					return err
				}
				return o.do(c.Context, sys, c.Args().Slice())
			},
		},
		examples: `pgfleet authority check
			pgfleet authority check --open-keys
			pgfleet authority check clients --in /srv/backups --max-age 30d`,
	}
}

// checked is what was found of one authority.
type checked struct {
	Authority string `json:"authority"`
	Host      string `json:"host"`
	// Problems of the authority itself; nil and no Seen: its host could not be looked at.
	Seen     bool     `json:"seen"`
	Problems []string `json:"problems,omitempty"`
	Records  int      `json:"records"`
	Revoked  int      `json:"revoked"`
	Backup   *copied  `json:"backup,omitempty"`
}

// copied is what was found of an authority's backup.
type copied struct {
	File string     `json:"file,omitempty"`
	Made *time.Time `json:"made,omitempty"`
	// Broken: why it is of no use. Behind: what it lacks.
	Broken string   `json:"broken,omitempty"`
	Behind []string `json:"behind,omitempty"`
}

func (o *checkOptions) do(ctx context.Context, sys *System, names []string) error {
	err := o.out.check()
	if err == nil && o.maxAge != "" {
		if o.age, err = pki.ParseDuration(o.maxAge); err != nil {
			err = usagef("--max-age: %v", err)
		} else if o.age == 0 {
			err = usagef("--max-age: wants a time longer than 0, for example 30d")
		} else if o.in == "" {
			err = usagef("--max-age goes with --in, which names the backups")
		}
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(o.in); o.in != "" && err != nil {
		return usagef("--in: %v", err)
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	authorities, err := chooseAuthorities(inv, names)
	if err != nil {
		return err
	}
	locked := map[string]string{}
	if o.open {
		if locked, err = o.openKeys(ctx, sys, inv, authorities); err != nil {
			return err
		}
	}
	certs := &certsOptions{fleet: o.fleet, connect: o.connect}
	fleet, end, err := certs.look(ctx, sys, inv, inv.Hosts)
	if err != nil {
		return err
	}
	for _, u := range fleet.Unseen {
		fmt.Fprintln(sys.Err, "notice: "+printers.Clean(fmt.Sprintf("%s could not be looked at: %s", cmp.Or(u.Host, "this machine"), u.Reason)))
	}
	rows := survey.Judge(fleet)
	var found []checked
	for _, a := range authorities {
		i := slices.IndexFunc(fleet.Authorities, func(s survey.Authority) bool { return s.Name == a.Name })
		c := sound(fleet, &fleet.Authorities[i], rows)
		if why, ok := locked[a.Name]; ok {
			c.Problems = append(c.Problems, why)
		}
		if o.in != "" {
			c.Backup = o.copyOf(&fleet.Authorities[i], sys.Now())
			end.Failed = end.Failed || c.Backup.Broken != ""
			end.Expiring = end.Expiring || len(c.Backup.Behind) > 0
		}
		end.Failed = end.Failed || len(c.Problems) > 0
		found = append(found, c)
	}
	if o.out.json {
		err = printers.WriteJSON(sys.Out, found)
	} else {
		printChecked(sys, found)
	}
	if err != nil {
		return err
	}
	return ended(end)
}

// sound compares an authority with itself and with what the fleet has of it.
func sound(fleet *survey.Fleet, a *survey.Authority, rows []survey.Row) checked {
	c := checked{Authority: a.Name, Host: a.Host, Seen: a.Seen, Records: len(a.Records), Revoked: len(a.Revoked)}
	if !a.Seen {
		return c
	}
	for _, r := range rows {
		if r.Host != a.Host || r.Holder != a.Name {
			continue
		}
		for _, f := range r.Findings {
			if f.State.Level() == survey.Broken {
				c.Problems = append(c.Problems, f.Reason)
			}
		}
	}
	if a.Cert == nil {
		return c
	}
	seen := fleet.SeenOf(a.Cert)
	lacks := false
	for _, d := range seen.Certificates {
		serial := pki.FormatSerial(d.Cert.SerialNumber)
		if !slices.ContainsFunc(a.Records, func(r survey.Record) bool { return r.Serial == serial }) {
			c.Problems, lacks = append(c.Problems, fmt.Sprintf("certificate %s (%s) is in use and not on record", serial, pki.CertTitle(d.Cert))), true
		}
	}
	for _, r := range seen.Revoked {
		if !slices.ContainsFunc(a.Revoked, func(known pki.Revoked) bool { return known.Serial.Cmp(r.Serial) == 0 }) {
			c.Problems, lacks = append(c.Problems, fmt.Sprintf("certificate %s is revoked by a list in force and not on record as revoked", pki.FormatSerial(r.Serial))), true
		}
	}
	if seen.Number != nil && (a.List == nil || a.List.Number != nil && a.List.Number.Cmp(seen.Number) < 0) {
		c.Problems, lacks = append(c.Problems, fmt.Sprintf("a list with number %s is in force, which is above its own", seen.Number)), true
	}
	if lacks {
		c.Problems = append(c.Problems, "mend it: pgfleet authority restore --records "+a.Name)
	}
	return c
}

// copyOf judges the newest backup of an authority.
func (o *checkOptions) copyOf(a *survey.Authority, now time.Time) *copied {
	file, err := newest(o.in, a.Name)
	if err != nil {
		return &copied{Broken: err.Error()}
	}
	c := &copied{File: file}
	b, err := readBackup(file)
	if err != nil {
		c.Broken = err.Error()
		return c
	}
	c.Made = &b.Made
	if b.Authority != a.Name {
		c.Broken = "it is of authority " + b.Authority
		return c
	}
	cert, err := b.Certificate()
	switch {
	case err != nil:
		c.Broken = err.Error()
	case a.Seen && a.Cert != nil && !pki.SameKey(cert.PublicKey, a.Cert.PublicKey):
		c.Broken = "its certificate has another key than the authority has now"
	case a.Seen:
		c.Behind = behind(b, a, cert.Equal(a.Cert))
	}
	if o.age > 0 && now.Sub(b.Made) > o.age {
		c.Behind = append(c.Behind, fmt.Sprintf("it is older than %s", o.maxAge))
	}
	return c
}

// behind says what an authority has that its backup lacks.
func behind(b *backup.Backup, a *survey.Authority, same bool) (out []string) {
	count := func(folder, what string, all []string) {
		lacks := 0
		for _, serial := range all {
			if _, ok := b.Content[folder+"/"+serial]; !ok {
				lacks++
			}
		}
		if lacks > 0 {
			out = append(out, fmt.Sprintf("%d %s since", lacks, what))
		}
	}
	var issued, revoked []string
	for _, r := range a.Records {
		issued = append(issued, r.Serial)
	}
	for _, r := range a.Revoked {
		revoked = append(revoked, pki.FormatSerial(r.Serial))
	}
	count("issued", "issued", issued)
	count("revoked", "revoked", revoked)
	if !same {
		out = append(out, "the authority's certificate is another")
	}
	list, err := b.List()
	if err == nil && a.List != nil && a.List.Number != nil && (list == nil || list.Number == nil || list.Number.Cmp(a.List.Number) < 0) && len(revoked) == len(b.Serials("revoked")) {
		out = append(out, fmt.Sprintf("list %s was made since", a.List.Number))
	}
	return out
}

var backupName = regexp.MustCompile(`^(.+)-\d{8}T\d{6}Z\.tar\.gz$`)

// newest gives the newest backup of an authority in a folder, or the file itself.
func newest(in, authority string) (string, error) {
	info, err := os.Stat(in)
	if err != nil || !info.IsDir() {
		return in, err
	}
	entries, err := os.ReadDir(in) // in the order of their names, which is that of their times
	if err != nil {
		return "", err
	}
	last := ""
	for _, e := range entries {
		if m := backupName.FindStringSubmatch(e.Name()); m != nil && m[1] == authority {
			last = e.Name()
		}
	}
	if last == "" {
		return "", fmt.Errorf("no backup of it in %s", in)
	}
	return filepath.Join(in, last), nil
}

func printChecked(sys *System, found []checked) {
	say := func(format string, args ...any) { fmt.Fprintln(sys.Out, printers.Clean(fmt.Sprintf(format, args...))) }
	for _, c := range found {
		switch {
		case !c.Seen:
			say("%s: on %s, not looked at", c.Authority, c.Host)
		case len(c.Problems) == 0:
			say("%s: on %s, sound: %s on record, %d revoked", c.Authority, c.Host, printers.Count(c.Records, "certificate"), c.Revoked)
		}
		for _, p := range c.Problems {
			say("%s: on %s, %s", c.Authority, c.Host, p)
		}
		switch b := c.Backup; {
		case b == nil:
		case b.File == "":
			say("%s: %s", c.Authority, b.Broken)
		case b.Broken != "":
			say("%s: backup %s: %s", c.Authority, b.File, strings.TrimPrefix(b.Broken, b.File+": "))
		case len(b.Behind) > 0:
			say("%s: backup %s is out of date: %s", c.Authority, b.File, strings.Join(b.Behind, ", "))
		default:
			say("%s: backup %s is whole and lacks nothing", c.Authority, b.File)
		}
	}
}
