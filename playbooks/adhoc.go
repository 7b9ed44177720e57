package playbooks

import (
	"fmt"

	"github.com/pgfleet/pgfleet/inventory"
)

// AdHoc plans one task on a selection of hosts ("pgfleet task KIND -l PATTERN name=value …"). Mistakes are inventory.Problems of a file
// called "task <kind>", without lines.
func AdHoc(inv *inventory.Inventory, kind string, values map[string]any, hosts string, opt PlanOptions) (*Plan, error) {
	return adHoc(inv, kind, values, hosts, opt, allKinds())
}

func adHoc(inv *inventory.Inventory, kind string, values map[string]any, hosts string, opt PlanOptions, kinds kindTable) (*Plan, error) {
	name := fmt.Sprintf("task %s", kind)
	if hosts == "" {
		hosts = "all"
	}
	pb := &Playbook{File: name, Name: name, kinds: kinds, Plays: []Play{{
		Name: name, Hosts: hosts, Tasks: []TaskEntry{{Kind: kind, Values: values}},
	}}}
	return NewPlan(pb, inv, opt)
}
