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

// notes says what is left to do after a revocation: who still accepts the certificates, and how their holders get new ones. others are what besides gives.
func (o *revokeOptions) notes(inv *inventory.Inventory, chosen, others []tasks.Issued, outcome *playbooks.Outcome) []string {
	var out []string
	ended := o.terminate || o.offboard
	if text := o.noteElsewhere(inv, chosen); text != "" {
		out = append(out, text)
	}
	all := chosen
	chosen, text := onRecord(inv, chosen, outcome)
	if text != "" {
		out = append(out, text)
	}
	if left := stragglers(inv, chosen, outcome); len(left) > 0 {
		text := "pgfleet run crl brings the list there, as do the next runs of revoke and mtls"
		if slices.ContainsFunc(left, func(host string) bool { return strings.HasSuffix(host, "(failed)") }) {
			text += ", once what has failed there is put right"
		}
		text = fmt.Sprintf("still accepted at %s: %s", strings.Join(left, ", "), text)
		if ended {
			text += "; pgfleet revoke --serial NUMBER --terminate, with each number above, ends the sessions there"
		}
		out = append(out, text)
	}
	var strangers []string
	sessions := false
	if o.offboard {
		chosen = all // files and rules are taken away in any case
	}
	for _, c := range chosen {
		sessions = sessions || c.Profile == pki.ProfileClient
		if c.Profile == pki.ProfileClient && len(identitiesOf(inv, []tasks.Issued{c})) == 0 {
			strangers = append(strangers, fmt.Sprintf("%s on %s", c.Subject, c.Host))
		}
	}
	if sessions && !ended {
		out = append(out, "sessions that are open go on: --terminate ends them")
	}
	if o.offboard && len(strangers) > 0 {
		out = append(out, fmt.Sprintf("not in the inventory: %s; their rules go with the next run of mtls, their files stay where they are", strings.Join(strangers, ", ")))
	}
	return append(out, o.holders(inv, chosen, others)...)
}

// onRecord gives those of the certificates that are revoked by now, or that somebody else has to revoke; and what to say of the others, whose authority has not done it: "" for none.
func onRecord(inv *inventory.Inventory, chosen []tasks.Issued, outcome *playbooks.Outcome) (revoked []tasks.Issued, text string) {
	var which, hosts []string
	for _, c := range chosen {
		a := inv.Authorities[c.Authority]
		result, ok := outcome.Hosts[a.Host]
		if c.Revoked != nil || a.Foreign() || !ok || result.Kind == events.OK || result.Kind == events.Changed {
			revoked = append(revoked, c)
			continue
		}
		which = append(which, c.Certificate())
		if host := fmt.Sprintf("%s (%s)", a.Host, strings.ReplaceAll(string(result.Kind), "_", " ")); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	if len(which) > 0 {
		text = fmt.Sprintf("not revoked, still accepted everywhere: %s: the authority's host %s has not done it. Put that right and run the same command again", strings.Join(which, ", "), strings.Join(hosts, ", "))
	}
	return revoked, text
}

// stragglers are the hosts that should refuse the certificates by now and have not come through.
func stragglers(inv *inventory.Inventory, chosen []tasks.Issued, outcome *playbooks.Outcome) []string {
	var out []string
	for _, h := range inv.Hosts {
		result, ok := outcome.Hosts[h.Name]
		concerned := slices.ContainsFunc(h.Roles, func(role string) bool { return (role == "db_server" || role == "client") && concerns(chosen, role) })
		if ok && concerned && result.Kind != events.OK && result.Kind != events.Changed {
			out = append(out, fmt.Sprintf("%s (%s)", h.Name, strings.ReplaceAll(string(result.Kind), "_", " ")))
		}
	}
	return out
}
