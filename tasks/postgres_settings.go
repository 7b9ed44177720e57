package tasks

import (
	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// parseSettings gives name to value of a settings file of ours; nil bytes give an empty map.
func parseSettings(text []byte) map[string]string {
	set, _ := postgres.SettingsOf(text)
	return set
}

// settingsSteps changes some settings of ours for one cluster and keeps the others: previous bytes are copied for undo, c.Dir/pgfleet.conf is
// replaced in one rename, postgresql.conf includes it last. Certificate and key that are set together are switched together.
func settingsSteps(h *Host, c *Cluster, set map[string]string) []transport.Step {
	all := parseSettings(c.Ours)
	for name, value := range set {
		all[name] = value
	}
	return []transport.Step{
		undoStep(h, c, c.Dir+"/pgfleet.conf", c.ConfigFile),
		{Key: "settings " + c.ID, Shell: postgresSettingsProgram, Argv: []string{c.Dir, c.ConfigFile, c.DataDir, c.BinDir}, Stdin: postgres.RenderSettings(all)},
	}
}
