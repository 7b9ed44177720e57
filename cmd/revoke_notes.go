package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/playbooks"
	"github.com/pgfleet/pgfleet/playbooks/events"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// revokeNotes says what is left to do after a revocation: who still accepts the certificates, and how their holders get new ones.
func revokeNotes(inv *inventory.Inventory, chosen []tasks.Issued, outcome *playbooks.Outcome, reason string, terminated bool) []string {
	var out []string
	if left := stragglers(inv, chosen, outcome); len(left) > 0 {
		text := fmt.Sprintf("still accepted at %s: pgfleet run crl brings the list there, as do the next runs of revoke and mtls", strings.Join(left, ", "))
		if terminated {
			text += fmt.Sprintf("; pgfleet revoke --serial %s --terminate also ends the sessions there", pki.FormatSerial(chosen[0].Serial))
		}
		out = append(out, text)
	}
	var holders []string
	sessions := false
	for _, c := range chosen {
		sessions = sessions || c.Profile == pki.ProfileClient
		if slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Name == c.Host }) && !slices.Contains(holders, c.Host) {
			holders = append(holders, c.Host)
		}
	}
	if sessions && !terminated {
		out = append(out, "sessions that are open go on: --terminate ends them")
	}
	if len(holders) > 0 {
		key := "the same key"
		if reason == "keyCompromise" {
			key = "a new key"
		}
		out = append(out, fmt.Sprintf("%s: new certificates, from %s, by the next run of the playbook that set it up (pgfleet run mtls); take it out of the inventory if it shall have none",
			strings.Join(holders, ", "), key))
	}
	return out
}

// stragglers are the hosts that should refuse the certificates by now and have not come through.
func stragglers(inv *inventory.Inventory, chosen []tasks.Issued, outcome *playbooks.Outcome) []string {
	roles := map[string]bool{}
	for _, c := range chosen {
		switch c.Profile {
		case pki.ProfileClient:
			roles["db_server"] = true
		case pki.ProfileServer:
			roles["client"] = true
		default:
			roles["db_server"], roles["client"] = true, true
		}
	}
	var out []string
	for _, h := range inv.Hosts {
		result, ok := outcome.Hosts[h.Name]
		concerned := h.HasRole("db_server") && roles["db_server"] || h.HasRole("client") && roles["client"]
		if ok && concerned && result.Kind != events.OK && result.Kind != events.Changed {
			out = append(out, fmt.Sprintf("%s (%s)", h.Name, strings.ReplaceAll(string(result.Kind), "_", " ")))
		}
	}
	return out
}
