package cmd

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/transport/ssh"
)

// trustOptions is what pgfleet trust was asked for.
type trustOptions struct {
	patterns    []string
	all         bool
	yes         bool
	replace     bool
	fingerprint string
	fleet       fleetOptions
	connect     connectOptions
	out         outputOptions
}

func newTrust(sys *System) *command {
	o := &trustOptions{}
	return &command{
		Command: &cli.Command{
			Name: "trust", Usage: "Show the hosts' SSH keys and record them", ArgsUsage: "HOST…|--all",
			Description: `A host whose key is not recorded is never talked to. This fetches the keys that hosts present, shows their fingerprints, and records
new ones in known_hosts after a yes. Compare the fingerprints with what the hosts' consoles say (ssh-keygen -lf
/etc/ssh/ssh_host_ed25519_key.pub): whoever answers to the address now is trusted from then on. A key that differs from
a recorded one is only replaced with --replace.`,
			Flags: join([]cli.Flag{
				&cli.BoolFlag{Name: "all", Usage: "all hosts of the inventory", Destination: &o.all},
				&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask", Destination: &o.yes},
				&cli.StringFlag{Name: "fingerprint", Usage: "record only the key with this `SHA256:…`, and ask nothing", Destination: &o.fingerprint},
				&cli.BoolFlag{Name: "replace", Usage: "replace recorded keys that differ", Destination: &o.replace},
			}, o.fleet.flags(), o.connect.forkFlag(), o.out.flags("text", "json")),
			Action: func(c *cli.Context) error {
				if err := wantArguments(c, "[HOST…]"); err != nil {
					return err
				}
				o.patterns = c.Args().Slice()
				return o.run(c.Context, sys)
			},
		},
		examples: `pgfleet trust --all
			pgfleet trust db1.example.net --fingerprint SHA256:uNiVztksCsDhcc0u9e8BrJQQrfLvHIgvCvwzTEw9xCs
			pgfleet trust db1.example.net --replace`,
	}
}

func (o *trustOptions) run(ctx context.Context, sys *System) error {
	if err := o.check(sys); err != nil {
		return err
	}
	inv, err := o.fleet.load(nil)
	if err != nil {
		return err
	}
	warn(sys, inv)
	hosts, err := choose(inv, strings.Join(o.patterns, ","))
	if err != nil {
		return err
	}
	if o.fingerprint != "" && len(hosts) != 1 {
		return usagef("trust: a fingerprint is that of one host, and %d hosts are chosen", len(hosts))
	}
	scans, end, err := o.scan(ctx, sys, hosts)
	if err != nil {
		return err
	}
	if err := o.show(sys, scans); err != nil {
		return err
	}
	for i := range scans {
		end.Unreachable = !o.decide(sys, &scans[i]) || end.Unreachable
	}
	if err := o.record(sys, scans); err != nil {
		return err
	}
	return ended(end)
}

// check refuses what makes no sense, and a question that nobody is there to answer.
func (o *trustOptions) check(sys *System) error {
	switch {
	case o.all == (len(o.patterns) > 0):
		return &usageError{text: "trust: name hosts, or --all", hint: "pgfleet trust --all"}
	case o.fingerprint != "" && !isFingerprint(o.fingerprint):
		return usagef("--fingerprint %s: write it as ssh-keygen -l does: SHA256: and 43 letters, digits, + and /", o.fingerprint)
	case !o.yes && o.fingerprint == "" && !sys.canAsk():
		return &usageError{text: "trust: " + errNoTerminal.Error(), hint: "--yes records what hosts present without a question, --fingerprint SHA256:… only the key that you know"}
	}
	return o.out.check()
}

// keyScan is what one host presented, and which of it is to be recorded.
type keyScan struct {
	printers.HostKeys
	host   *inventory.Host
	keys   []ssh.HostKey
	record []ssh.HostKey
}

// scan fetches the keys of hosts. Nobody logs in.
func (o *trustOptions) scan(ctx context.Context, sys *System, hosts []*inventory.Host) ([]keyScan, playbooks.Ending, error) {
	scans := make([]keyScan, len(hosts))
	place := map[*inventory.Host]int{}
	for i, h := range hosts {
		scans[i] = keyScan{host: h}
		place[h] = i
	}
	end, err := onEach(ctx, sys, &o.connect, hosts, func(ctx context.Context, h *inventory.Host, way *door) events.Kind {
		s := &scans[place[h]]
		s.Host, s.HostKeys.Keys = h.Name, []printers.HostKey{}
		keys, err := way.scan(ctx, h)
		if err != nil {
			s.Error, s.Hint = err.Error(), hintOf(err)
			return events.Unreachable
		}
		s.keys = keys
		for _, k := range keys {
			s.Address = k.Name
			s.HostKeys.Keys = append(s.HostKeys.Keys, printers.HostKey{Type: k.Type, Fingerprint: k.Fingerprint, State: stateOf(k)})
		}
		return events.OK
	})
	return scans, end, err
}

func stateOf(k ssh.HostKey) printers.KeyState {
	switch {
	case k.Known:
		return printers.KeyRecorded
	case k.Changed:
		return printers.KeyChanged
	}
	return printers.KeyNew
}

func (o *trustOptions) show(sys *System, scans []keyScan) error {
	list := make([]printers.HostKeys, len(scans))
	for i := range scans {
		list[i] = scans[i].HostKeys
	}
	if o.out.json {
		return printers.WriteJSON(sys.Out, list)
	}
	printers.Keys(sys.Out, o.out.style(sys, sys.Out), list)
	return nil
}

// decide chooses the keys to record. It is false when a key stands in the way of trusting the host.
func (o *trustOptions) decide(sys *System, s *keyScan) bool {
	if s.Error != "" {
		return false
	}
	complain := func(format string, args ...any) bool {
		s.record = nil
		fmt.Fprintf(sys.Err, "error: "+s.Host+": "+format+"\n", args...)
		return false
	}
	if !o.replace && impostor(s.keys) {
		complain("other keys are recorded for it, and it presents none of them; somebody may be in between")
		fmt.Fprintln(sys.Err, "hint: if the host has new keys, compare the fingerprint at its console, then: pgfleet trust --replace "+s.Host)
		return false
	}
	matched := false
	for _, k := range s.keys {
		if o.fingerprint != "" && k.Fingerprint != o.fingerprint {
			continue
		}
		matched = true
		switch {
		case k.Changed && !o.replace:
			complain("the %s key differs from the one that is recorded; somebody may be in between", k.Type)
			fmt.Fprintln(sys.Err, "hint: if the host was installed anew, compare the fingerprint at its console, then: pgfleet trust --replace "+s.Host)
			return false
		case !k.Known:
			s.record = append(s.record, k)
		}
	}
	if !matched {
		return complain("presents no key with the fingerprint %s", o.fingerprint)
	}
	return true
}

// impostor tells whether a host for which keys of other types are recorded shows none that is: a new type alone proves nothing.
func impostor(keys []ssh.HostKey) bool {
	others := false
	for _, k := range keys {
		if k.Known || k.Changed {
			return false
		}
		others = others || k.Others
	}
	return others
}

// record asks, and writes known_hosts.
func (o *trustOptions) record(sys *System, scans []keyScan) error {
	keys, hosts := 0, 0
	for _, s := range scans {
		if keys += len(s.record); len(s.record) > 0 {
			hosts++
		}
	}
	if keys == 0 {
		fmt.Fprintln(sys.Err, "nothing to record")
		return nil
	}
	if !o.yes && o.fingerprint == "" {
		yes, err := sys.confirm(fmt.Sprintf("Record %s of %s?", printers.Count(keys, "key"), printers.Count(hosts, "host")))
		if err != nil {
			return err
		}
		if !yes {
			fmt.Fprintln(sys.Err, "nothing was recorded")
			return exitStatus(exitInterrupted)
		}
	}
	for _, s := range scans {
		if len(s.record) == 0 {
			continue
		}
		path := knownHostsOf(s.host)
		write := ssh.AppendKnownHosts
		if o.replace {
			write = ssh.ReplaceKnownHosts
		}
		if err := write(path, s.record, false); err != nil {
			return fmt.Errorf("%s: %w", s.Host, err)
		}
		fmt.Fprintf(sys.Err, "recorded %s in %s\n", s.Host, path)
	}
	return nil
}

// knownHostsOf gives the file that a host's keys are recorded in: the first that is read for it.
func knownHostsOf(h *inventory.Host) string {
	if len(h.Target.KnownHosts) > 0 {
		return h.Target.KnownHosts[0]
	}
	return "~/.ssh/known_hosts"
}

// isFingerprint tells whether a text is a key's fingerprint as ssh-keygen -l prints it.
func isFingerprint(text string) bool {
	sum, ok := strings.CutPrefix(text, "SHA256:")
	raw, err := base64.RawStdEncoding.DecodeString(sum)
	return ok && err == nil && len(raw) == sha256.Size
}
