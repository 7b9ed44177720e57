package cmd

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestNextAfterReplacement: what a root that stays has signed is told to be revoked; what stands below a root that goes is believed by nobody.
func TestNextAfterReplacement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		next pki.Authority
		told bool
	}{
		{pki.Authority{Issuer: "root", Host: "ca3"}, true},
		{pki.Authority{Host: "ca3"}, false},
		{pki.Authority{External: "company.pem"}, false},
		{pki.Authority{Issuer: "other_root", Host: "ca3"}, false},
	} {
		next := c.next
		next.Name, next.Replaces = "clients_g2", "clients"
		inv := &inventory.Inventory{File: "inventory.yaml", Authorities: map[string]pki.Authority{
			"root":       {Name: "root", Host: "ca1"},
			"other_root": {Name: "other_root", Host: "ca2"},
			"clients":    {Name: "clients", Host: "ca3", Issuer: "root"},
			"clients_g2": next,
		}}
		lines := (&rotateCAOptions{until: untilDrop}).next(inv, []string{"clients"})
		if got := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "accepts what it has signed until root revokes it") }); got != c.told {
			t.Errorf("%+v: %q", next, lines)
		}
	}
}
