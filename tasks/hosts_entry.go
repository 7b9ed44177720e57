package tasks

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed hosts_entry_probe.sh
var hostsEntryProbeProgram string

//go:embed hosts_entry.sh
var hostsEntryProgram string

// hostsFile is where hosts_entry writes.
const hostsFile = "/etc/hosts"

// keyHostsFile begins the keys of looks at it.
const keyHostsFile = "hosts:"

// The first and last line of the block in /etc/hosts.
const hostsFirst, hostsLast = "# BEGIN pgfleet", "# END pgfleet"

var _ = register(Kind{
	Name:    "hosts_entry",
	Summary: "make the names of servers resolve, with a block in /etc/hosts where they do not",
	Doc: `For a client without entries: the names of each server that it uses, for servers whose address in the inventory is an address. A name that
already resolves to its address gets no line. Nor does one of names (in the inventory) that several servers have, or that resolves to another address: it means what stands in front of
them, a virtual address or a proxy. All other lines of /etc/hosts stay as they are.`,
	Example: "hosts_entry: {}",
	New:     func() Task { return new(hostsEntryTask) },
})

// hostsEntryTask is one hosts_entry task as written.
type hostsEntryTask struct {
	Entries map[string]string `param:"entries" doc:"address: names, separated by blanks; not given: the servers that this client uses"`
}

// hostsLine is one address with the names that shall resolve to it. further are those of them that are left alone where they resolve to something else.
type hostsLine struct {
	address netip.Addr
	names   []string
	further map[string]bool
}

// Validate refuses addresses and names that /etc/hosts cannot hold.
func (t *hostsEntryTask) Validate() []*ParamError {
	var errs []*ParamError
	for address, names := range t.Entries {
		if _, err := netip.ParseAddr(address); err != nil {
			errs = append(errs, &ParamError{"entries", fmt.Sprintf("%q is not an address", address)})
		}
		fields := strings.Fields(names)
		if len(fields) == 0 {
			errs = append(errs, &ParamError{"entries", address + " has no name"})
		}
		for _, name := range fields {
			if err := pki.CheckDNSName(name); err != nil || strings.Contains(name, "*") || strings.HasPrefix(name, "-") {
				errs = append(errs, &ParamError{"entries", fmt.Sprintf("%q is not a host name", name)})
			}
		}
	}
	return errs
}

// lines gives what is wanted, in a stable order.
func (t *hostsEntryTask) lines(h *Host) []hostsLine {
	var out []hostsLine
	add := func(address string, names []string, further map[string]bool) {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return
		}
		line := hostsLine{address: ip, further: further}
		for _, name := range names {
			if pki.CheckDNSName(name) != nil || strings.ContainsAny(name, "*") || strings.HasPrefix(name, "-") {
				continue
			}
			if _, err := netip.ParseAddr(name); err != nil {
				line.names = append(line.names, name)
			}
		}
		if len(line.names) > 0 {
			out = append(out, line)
		}
	}
	if len(t.Entries) > 0 {
		addresses := make([]string, 0, len(t.Entries))
		for a := range t.Entries {
			addresses = append(addresses, a)
		}
		sort.Strings(addresses)
		for _, a := range addresses {
			add(a, strings.Fields(t.Entries[a]), nil)
		}
		return out
	}
	for _, name := range h.Servers {
		server := h.Fleet.Hosts[name]
		if server == nil {
			continue
		}
		further := map[string]bool{}
		for _, n := range server.Names {
			further[n] = n != server.Name
		}
		add(server.Address, slices.DeleteFunc(serverNames(server, nil), func(n string) bool { return further[n] && h.Fleet.sharedName(n) }), further)
	}
	return out
}

// sharedName tells whether several servers have a further name. Such a name means none of them but what stands in front of them, a virtual address or a proxy: a line for it would
// lead past that, and to a server that is not the primary any more. They are found once: every look of every client asks.
func (f *Fleet) sharedName(name string) bool {
	f.shared.once.Do(func() {
		of := map[string]*Host{}
		f.shared.names = map[string]bool{}
		for _, h := range f.Hosts {
			if !h.HasRole("db_server") {
				continue
			}
			for _, n := range h.Names {
				if other := of[n]; other != nil && other != h {
					f.shared.names[n] = true
				}
				of[n] = h
			}
		}
	})
	return f.shared.names[name]
}

func (t *hostsEntryTask) names(h *Host) []string {
	var out []string
	for _, l := range t.lines(h) {
		out = append(out, l.names...)
	}
	return out
}

func (t *hostsEntryTask) key(h *Host) string {
	return keyHostsFile + contentName([]byte(strings.Join(t.names(h), " ")))
}

// Needs reads the block and resolves every name.
func (t *hostsEntryTask) Needs(h *Host) []transport.Step {
	names := t.names(h)
	if len(names) == 0 {
		return nil
	}
	return []transport.Step{{Key: t.key(h), Probe: true, Shell: certificateLookProgram + hostsEntryProbeProgram, Argv: append([]string{hostsFirst, hostsLast}, names...)}}
}

// Check compares what the names resolve to with what they shall.
func (t *hostsEntryTask) Check(_ context.Context, h *Host) (*Change, error) {
	lines := t.lines(h)
	if len(lines) == 0 {
		return nil, nil
	}
	result, err := h.View.Get(t.key(h))
	if err != nil {
		return nil, err
	}
	if result.Err != nil {
		return nil, fmt.Errorf("look at %s on %s: %w", hostsFile, h.Name, result.Err)
	}
	l, err := parseLook(result.Stdout)
	if err != nil {
		return nil, fmt.Errorf("look at %s on %s: %w", hostsFile, h.Name, err)
	}
	if err := refuseEntry(h, l.entry(hostsFile), 0); err != nil {
		return nil, err
	}
	if l.Markers != "" && l.Markers != "be" {
		return nil, fmt.Errorf("%w: %s on %s does not have %q and %q once each, in that order: repair it by hand", ErrRefused, hostsFile, h.Name, hostsFirst, hostsLast)
	}
	want := hostsBlock(l, lines)
	if want == l.Block {
		return nil, nil
	}
	return &Change{Summary: "change pgfleet's block in " + hostsFile, Diff: diffText(hostsFile+" (pgfleet's block)", l.Block, want), Touches: []string{t.key(h)},
		Foresee: func(v *View) { v.Foresee(t.key(h), nil) },
		Apply: func(context.Context, Doer) ([]transport.Step, error) {
			return []transport.Step{withLines(transport.Step{Key: "write " + hostsFile, Shell: certificateCheckProgram + identityBlockProgram + hostsEntryProgram,
				Argv: []string{hostsFile, hostsFirst, hostsLast}}, want)}, nil
		}}, nil
}

// hostsBlock keeps the lines that the block has rightly and adds those for names that do not resolve to their address.
func hostsBlock(l *look, lines []hostsLine) string {
	var b strings.Builder
	has, ours := map[string]bool{}, map[string]bool{}
	for _, line := range strings.Split(l.Block, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			for _, name := range f[1:] {
				has[f[0]+" "+name], ours[name] = true, true
			}
		}
	}
	for _, line := range lines {
		var names []string
		for _, name := range line.names {
			// What a name of the block resolves to is the block's doing.
			elsewhere := line.further[name] && len(l.Resolved[name]) > 0 && !ours[name]
			if has[line.address.String()+" "+name] || !elsewhere && !resolvesTo(l.Resolved[name], line.address) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "%s %s\n", line.address, strings.Join(names, " "))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return hostsFirst + "\n" + b.String() + hostsLast + "\n"
}

func resolvesTo(found []string, address netip.Addr) bool {
	for _, text := range found {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Unmap() == address.Unmap() {
			return true
		}
	}
	return false
}
