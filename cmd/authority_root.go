package cmd

import (
	"github.com/urfave/cli/v2"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// rootLogin is another login than the inventory's, for what an authority in mode restricted does not do for that one.
type rootLogin struct{ vars []string }

func (o *rootLogin) flag() cli.Flag {
	return &cli.StringSliceFlag{Name: "extra-vars", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE`: ssh_user and the like, where mode: restricted asks for another login"}
}

func (o *rootLogin) take(c *cli.Context) { o.vars = c.StringSlice("extra-vars") }

// load reads the inventory with the login's variables over it.
func (o *rootLogin) load(fleet *fleetOptions) (*inventory.Inventory, error) {
	vars, err := assignments("variable", o.vars)
	if err != nil {
		return nil, err
	}
	return fleet.load(vars)
}

// unlock has authorities treated as in mode convenient; one in mode restricted wants a login for that. It gives them as they are then.
func (o *rootLogin) unlock(inv *inventory.Inventory, authorities []pki.Authority) ([]pki.Authority, error) {
	out := make([]pki.Authority, len(authorities))
	for i, a := range authorities {
		if a.Restricted() {
			if len(o.vars) == 0 {
				return nil, &usageError{text: "authority " + a.Name + " is in mode restricted, and this needs root on " + a.Host, hint: "-e ssh_user=ADMIN logs in as somebody who is root there"}
			}
			unlock(inv, a.Host)
		}
		out[i] = inv.Authorities[a.Name]
	}
	return out, nil
}
