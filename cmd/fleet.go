package cmd

import (
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/inventory"
)

// load finds and reads the inventory; vars are those of the command line. Every error is the user's to repair: exit 5, nothing contacted.
func (o *fleetOptions) load(vars map[string]any) (*inventory.Inventory, error) {
	path, err := inventory.Find(o.inventory)
	if err != nil {
		return nil, &usageError{text: err.Error(), hint: hintOf(err)}
	}
	inv, err := inventory.Load(path, inventory.Options{SSHConfig: o.sshConfig, ConnectTimeout: o.connectTimeout, Vars: connecting(vars)})
	if err != nil {
		return nil, asConfiguration(err)
	}
	return inv, nil
}

// connecting gives the variables that say how hosts are reached. The others are the playbook's: as an inventory's they would count as used.
func connecting(vars map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range vars {
		if strings.HasPrefix(name, "ssh_") || strings.HasPrefix(name, "sudo_") || name == "become" {
			out[name] = value
		}
	}
	return out
}

// warn prints what an inventory warns of, where no run's events tell it.
func warn(sys *System, inv *inventory.Inventory) {
	for _, w := range inv.Warnings {
		fmt.Fprintln(sys.Err, "notice: "+printers.Clean(w))
	}
}

// choose gives the hosts that a pattern means; "" means all. An empty selection is a mistake.
func choose(inv *inventory.Inventory, pattern string) ([]*inventory.Host, error) {
	if pattern == "" {
		return inv.Hosts, nil
	}
	hosts, err := inv.Select(pattern)
	if err != nil {
		return nil, &usageError{text: err.Error(), hint: "pgfleet hosts lists names, roles and groups"}
	}
	if len(hosts) == 0 {
		return nil, &usageError{text: fmt.Sprintf("%q means no host", pattern), hint: "pgfleet hosts lists names, roles and groups"}
	}
	return hosts, nil
}
