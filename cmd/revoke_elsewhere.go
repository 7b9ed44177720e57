package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Certificates of an authority that is offline or not ours: what it issued to this fleet is on its desk, and that they shall be revoked is put there. They are when a
// list of its names them.

// elsewhere gives what such authorities have issued.
func (o *revokeOptions) elsewhere(inv *inventory.Inventory) ([]authorityRecords, error) {
	parties, err := tasks.Parties(inv.Authorities)
	if err != nil {
		return nil, asConfiguration(err)
	}
	var out []authorityRecords
	for i := range parties {
		p := &parties[i]
		if o.choice.authority != "" && o.choice.authority != p.Name || len(p.Chain) == 0 {
			continue
		}
		issued, err := tasks.IssuedElsewhere(p)
		if err != nil {
			return nil, asConfiguration(err)
		}
		out = append(out, authorityRecords{name: p.Name, cert: p.Chain[0], issued: issued})
	}
	return out, nil
}

// wish puts on the desks which of the certificates shall be revoked.
func (o *revokeOptions) wish(inv *inventory.Inventory, chosen []tasks.Issued, now time.Time) error {
	reason, err := pki.ParseReason(o.reason)
	if err != nil {
		return err
	}
	for _, c := range chosen {
		if a := inv.Authorities[c.Authority]; a.Foreign() && c.Revoked == nil {
			if err := (desk.Desk{Dir: a.Desk}).Revoke(pki.Revoked{Serial: c.Serial, At: now, Reason: reason, Expires: c.Expires}); err != nil {
				return fmt.Errorf("keep what shall be revoked: %w", err)
			}
		}
	}
	return nil
}

// noteElsewhere says what has to happen before those certificates are refused, and what can be done until then; "" where none of them is such a one.
func (o *revokeOptions) noteElsewhere(inv *inventory.Inventory, chosen []tasks.Issued) string {
	var which []string
	clients := false
	for _, c := range chosen {
		if inv.Authorities[c.Authority].Foreign() && c.Revoked == nil {
			which = append(which, c.Certificate())
			clients = clients || c.Profile == pki.ProfileClient
		}
	}
	if len(which) == 0 {
		return ""
	}
	text := "not refused yet: " + strings.Join(which, ", ") + ": the authority has to make a list that names what it issued. pgfleet authority requests --to DIR writes that for it, pgfleet authority answer FILE takes the list in, and pgfleet run crl brings it to the hosts"
	if clients && !o.offboard {
		text += ". Until then --offboard takes a client's rules on the servers away, and -e 'exceptions:=[\"hostssl all USER all reject\"]' with pgfleet run mtls keeps a user out"
	}
	return text
}
