package tasks

import (
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

// undoStep copies files, with a manifest, to c.Dir/.undo/<run>/ before they change; a file already copied in this run is left as it is, so that
// the copy is always of the last state that was proved. Private keys are never given here.
func undoStep(h *Host, c *Cluster, paths ...string) transport.Step {
	return clusterStep(c, "keep files of", undoCopyProgram+"dir=$1\nshift\nkeep_before \"$@\"\n", append([]string{c.Dir, h.Fleet.Run}, paths...)...)
}

// RollbackSteps puts back the naming files (pgfleet.conf, postgresql.conf, pg_hba.conf, pg_ident.conf) of a host's clusters as they were before
// a run, those that later runs changed too, and reloads servers that run. Clusters that the run did not change are left alone. What must not come back is kept as it is now: an older
// list of revoked certificates, an authority that was removed, a certificate that is over or revoked, or that clients do not accept since its authority was replaced. The error is
// that of Clusters.
func RollbackSteps(h *Host, run string) ([]transport.Step, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	var out []transport.Step
	for _, c := range clusters {
		if c.hasCopy(run) {
			steps := c.rollback(h, c.refusedFiles(h, clusters), run)
			steps[0].Argv = append(steps[0].Argv, c.ConfigFile, c.BinDir)
			out = append(out, steps...)
		}
	}
	return out, nil
}

// hasCopy tells whether something of before a run is kept that was not put back yet.
func (c *Cluster) hasCopy(run string) bool {
	for _, k := range c.Copies {
		if k.Run == run && k.State != "undone" {
			return true
		}
	}
	return false
}

// rollback undoes runs in the order given. refused are files of certificates, one a line, that must not come back.
func (c *Cluster) rollback(h *Host, refused string, runs ...string) []transport.Step {
	var out []transport.Step
	for _, run := range runs {
		step := clusterStep(c, "put back files of", undoBackProgram, c.Dir, run, c.DataDir)
		step.Stdin = []byte(h.Fleet.revokedSerials() + refused)
		out = append(out, step)
	}
	if c.Running {
		out = append(out, reloadStep(c))
	}
	return out
}

// UnseenLists gives the authorities whose list is not known here: what they have revoked, a rollback could bring back.
func (f *Fleet) UnseenLists() []string {
	var out []string
	for _, name := range sortedKeys(f.Authorities) {
		if _, err := f.CA.CRL(name); err != nil {
			out = append(out, name)
		}
	}
	return out
}

// revokedSerials are the serial numbers on the lists of all authorities that are known here, in hexadecimal digits, one a line.
func (f *Fleet) revokedSerials() string {
	var b strings.Builder
	for _, name := range sortedKeys(f.Authorities) {
		list, err := f.CA.CRL(name)
		if err != nil {
			continue
		}
		for _, e := range list.RevokedCertificateEntries {
			fmt.Fprintf(&b, "%X\n", e.SerialNumber)
		}
	}
	return b.String()
}
