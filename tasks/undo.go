package tasks

import "github.com/pgfleet/pgfleet/transport"

// undoStep copies files, with a manifest, to c.Dir/.undo/<run>/ before they change; a file already copied in this run is left as it is, so that
// the copy is always of the state before the run. Private keys are never given here.
func undoStep(h *Host, c *Cluster, paths ...string) transport.Step {
	return transport.Step{Key: "undo " + c.ID, Shell: undoCopyProgram, Argv: append([]string{c.Dir, h.Fleet.Run}, paths...)}
}
