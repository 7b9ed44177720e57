package cmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

const keyCompromise = "keyCompromise"

// holders says how the holders of revoked certificates get new ones, and with which key.
func (o *revokeOptions) holders(inv *inventory.Inventory, chosen, others []tasks.Issued) (out []string) {
	var all, fresh, kept, late, streaming []string
	for _, c := range chosen {
		if len(others) == 0 && streams(inv, c) && !slices.Contains(streaming, c.Host) {
			streaming = append(streaming, c.Host)
		}
		if _, ok := inv.Host(c.Host); !ok || slices.Contains(all, c.Host) {
			continue
		}
		all = append(all, c.Host)
		stolen := o.reason == keyCompromise
		if c.Revoked != nil {
			stolen = pki.ReasonName(c.Revoked.Reason) == keyCompromise
		}
		if !stolen && o.reason == keyCompromise {
			late = append(late, c.Host)
		}
		switch {
		case slices.ContainsFunc(others, func(i tasks.Issued) bool { return i.Expires.After(c.Expires) }): // it has a newer one already
		case stolen:
			fresh = append(fresh, c.Host)
		default:
			kept = append(kept, c.Host)
		}
	}
	if len(streaming) > 0 {
		out = append(out, fmt.Sprintf("where %s streams from a primary, it cannot connect to it again before it has another certificate", strings.Join(streaming, ", ")))
	}
	if o.offboard {
		if len(all) > 0 {
			out = append(out, fmt.Sprintf("take what was offboarded at %s out of the inventory: the next run of mtls would set it up again", strings.Join(all, ", ")))
		}
		return out
	}
	if o.reason == keyCompromise && len(others) > 0 {
		const most = 3
		var names []string
		for _, i := range others[:min(most, len(others))] {
			names = append(names, i.Certificate())
		}
		if len(others) > most {
			names = append(names, fmt.Sprintf("%d more", len(others)-most))
		}
		out = append(out, fmt.Sprintf("still good, of the same holder and maybe from the same key: %s; --host and --name mean all that a holder has", strings.Join(names, ", ")))
	}
	for _, g := range []struct {
		hosts []string
		key   string
	}{{fresh, "a new key"}, {kept, "the same key"}} {
		if len(g.hosts) > 0 {
			out = append(out, fmt.Sprintf("%s: new certificates, from %s, by the next run of the playbook that set it up (pgfleet run mtls)", strings.Join(g.hosts, ", "), g.key))
		}
	}
	if len(late) > 0 {
		out = append(out, fmt.Sprintf("what was revoked before keeps its reason, and so its holder's key: pgfleet rotate --force --new-key -l '%s' makes new ones", strings.Join(late, ",")))
	}
	return out
}

// streams tells whether a standby logs in with a certificate.
func streams(inv *inventory.Inventory, c tasks.Issued) bool {
	h, ok := inv.Host(c.Host)
	return ok && c.Profile == pki.ProfileClient && slices.ContainsFunc(h.Identities, func(id inventory.Identity) bool { return id.Replication && hasCommonName(c.Subject, id.DBUser) })
}

// besides gives what is good of the holder of the one certificate that was chosen, and was not meant: renewals leave such behind, mostly from the same key. By host and
// name all of them are meant.
func besides(records []authorityRecords, chosen []tasks.Issued, now time.Time) (out []tasks.Issued) {
	if len(chosen) != 1 || chosen[0].Host == "" {
		return nil
	}
	c := chosen[0]
	for _, r := range records {
		for _, i := range r.issued {
			if i.Authority == c.Authority && i.Host == c.Host && i.Profile == c.Profile && i.Subject == c.Subject && i.Serial.Cmp(c.Serial) != 0 && i.Revoked == nil && now.Before(i.Expires) {
				out = append(out, i)
			}
		}
	}
	return out
}
