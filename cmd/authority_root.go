package cmd

import (
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// rootVarsFlag is -e of commands that need root where an authority in mode restricted is.
func rootVarsFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "extra-vars", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE`: ssh_user and the like, to log in as root where an authority is in mode restricted"}
}

// asRoot has the hosts of those authorities that are in mode restricted reached by the login that words (of -e) give, as hosts in mode convenient are.
// Without such words it says how; nothing is contacted. It gives the authorities as they are then.
func asRoot(inv *inventory.Inventory, fleet fleetOptions, what string, chosen []pki.Authority, words []string) ([]pki.Authority, error) {
	vars, err := assignments("variable", words)
	if err != nil {
		return nil, err
	}
	for _, a := range chosen {
		if a.Restricted() && len(connecting(vars)) == 0 {
			return nil, &usageError{text: fmt.Sprintf("%s: authority %s is in mode restricted, where the login of the inventory can do nothing but sign", what, a.Name),
				hint: fmt.Sprintf("log in as somebody who is root on %s: -e ssh_user=ADMIN, and -K where sudo wants a password", a.Host)}
		}
	}
	if err := onlyConnecting(what, vars); err != nil {
		return nil, err
	}
	root := inv
	if len(vars) > 0 {
		if root, err = fleet.load(vars); err != nil {
			return nil, err
		}
	}
	for _, a := range chosen {
		if a.Restricted() {
			hostOf(inv, a).Target = hostOf(root, a).Target
		}
	}
	out := make([]pki.Authority, len(chosen))
	for i, a := range chosen {
		if a.Restricted() {
			unlock(inv, a.Host)
		}
		out[i] = inv.Authorities[a.Name]
	}
	return out, nil
}

// onlyConnecting refuses variables that do not say how hosts are reached, where nothing else has a meaning.
func onlyConnecting(what string, vars map[string]any) error {
	known := connecting(vars)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if _, ok := known[name]; !ok {
			return usagef("%s: -e %s has no meaning here: only ssh_user and others that say how to log in, sudo_password and become have one", what, name)
		}
	}
	return nil
}
