package tasks

import (
	_ "embed"

	"github.com/pgfleet/pgfleet/transport"
)

// The programs that run on database hosts; postgres_as.sh comes before each, and postgres_lib.sh before each but the probe.
var (
	//go:embed postgres_as.sh
	postgresAs string
	//go:embed postgres_lib.sh
	postgresLibProgram string
	//go:embed postgres_settings.sh
	postgresSettingsProgram string
	//go:embed postgres_hba.sh
	postgresHBAProgram string
	//go:embed postgres_reload.sh
	postgresReloadProgram string
	//go:embed postgres_role.sh
	postgresRoleProgram string
	//go:embed undo_copy.sh
	undoCopyProgram string
	//go:embed undo_back.sh
	undoBackProgram string
	//go:embed undo_proving.sh
	undoProvingProgram string
	//go:embed undo_proved.sh
	undoProvedProgram string
)

var postgresLib = postgresAs + postgresLibProgram

// clusterStep runs one of the programs for a cluster.
func clusterStep(c *Cluster, what, program string, argv ...string) transport.Step {
	owner := c.OSUser
	if c.OSIDs != "" {
		owner += ":" + c.OSIDs
	}
	return transport.Step{Key: what + " " + c.ID, Shell: postgresLib + program, Argv: append([]string{owner}, argv...)}
}
