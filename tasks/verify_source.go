package tasks

import (
	"context"
	_ "embed"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed verify_source.sh
var verifySourceProgram string

// noteSources notes from which address a client reaches each server that it has just reached: rules are for addresses, and a host can have others than the inventory knows. A server
// that refuses by its rules says it; else the client's routes do. What cannot be told is left out.
func noteSources(ctx context.Context, h *Host, cases []verifyCase, cells []Cell, via Prober) error {
	ask := map[string][]string{}
	for i, c := range cells {
		if !c.OK {
			continue
		}
		if from, ok := refusedFrom(c.Detail); ok && strings.HasSuffix(c.Got, string(ruleRefuses)) {
			h.Fleet.Proofs.NoteSource(h.Name, c.Server, from)
			continue
		}
		to := reachedAddress(cases[i].said)
		if to == "" {
			to = cases[i].service.Host
		}
		if !slices.Contains(ask[to], c.Server) {
			ask[to] = append(ask[to], c.Server)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	step := transport.Step{Key: "routes", Shell: verifySourceProgram, Probe: true}
	for to := range ask {
		step.Argv = append(step.Argv, to)
	}
	slices.Sort(step.Argv)
	results, err := via.Do(ctx, step)
	if err != nil || results[0].Err != nil {
		return err
	}
	for to, from := range parseSources(string(results[0].Stdout)) {
		for _, server := range ask[to] {
			h.Fleet.Proofs.NoteSource(h.Name, server, from)
		}
	}
	return nil
}

// parseSources reads what verify_source.sh prints: server, as it was asked for, to the address that connections to it come from.
func parseSources(out string) map[string]netip.Addr {
	from := map[string]netip.Addr{}
	to := map[string]string{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "server" {
			to[words[1]] = words[2]
			continue
		}
		// "10.0.0.2 via 10.0.0.1 dev eth0 src 10.0.0.9 …", for an address of this host "local 10.0.0.9 dev lo src 10.0.0.9 …".
		at := slices.Index(words, "src")
		if at < 0 || at+1 >= len(words) {
			continue
		}
		addr, err := netip.ParseAddr(words[at+1])
		for _, word := range words[:2] {
			if dest, destErr := netip.ParseAddr(word); err == nil && destErr == nil {
				from[dest.String()] = addr.Unmap().WithZone("")
				break
			}
		}
	}
	sources := map[string]netip.Addr{}
	for name, text := range to {
		if dest, err := netip.ParseAddr(text); err == nil {
			if addr, ok := from[dest.String()]; ok {
				sources[name] = addr
			}
		}
	}
	return sources
}

var (
	// reachedRE is how libpq names the address of a server, from PostgreSQL 14 on.
	reachedRE = regexp.MustCompile(`connection to server at "[^"]*" \(([0-9a-fA-F.:]+)\), port [0-9]+ failed: `)
	// addressRE finds addresses in a server's message, in whichever language and with whichever quotation marks.
	addressRE = regexp.MustCompile(`[0-9a-fA-F]*[.:][0-9a-fA-F.:]+`)
)

// reachedAddress gives the address of the server that psql's error is about, "" when it does not say so.
func reachedAddress(text string) string {
	all := reachedRE.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// refusedFrom gives the address from which a server has seen somebody whom its rules refuse.
func refusedFrom(message string) (netip.Addr, bool) {
	for _, word := range addressRE.FindAllString(message, -1) {
		if addr, err := netip.ParseAddr(strings.TrimRight(word, ".:")); err == nil {
			return addr.Unmap().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}
