package tasks

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed undo_list.sh
var undoListProgram string

// KeyCopies is the view's key for the lists of files that are kept of before runs.
const KeyCopies = "copies"

// CopiesProbe lists the files of before runs that are kept on a server, keyed KeyCopies.
func CopiesProbe() transport.Step {
	return transport.Step{Key: KeyCopies, Shell: undoListProgram, Probe: true}
}

// CopiedFiles tells what a rollback of a run would do, one line a file: "put back PATH", or "remove PATH (it was not there)". The error is that of the view,
// or says that the probe's answer cannot be read.
func CopiedFiles(h *Host, run string) ([]string, error) {
	r, err := h.View.Get(KeyCopies)
	if err != nil {
		return nil, err
	}
	if r.Err != nil {
		return nil, fmt.Errorf("list the copies kept on %s: %w", h.Name, r.Err)
	}
	var out []string
	seen := map[string]bool{}
	for copied := range strings.SplitSeq(strings.TrimSpace(string(r.Stdout)), "\n\n") {
		folder, manifest, _ := strings.Cut(copied, "\n")
		// What a run changed after it was proved has a copy of its own: RUN~2.
		if of, _, _ := strings.Cut(path.Base(folder), "~"); of != run {
			continue
		}
		for line := range strings.SplitSeq(manifest, "\n") {
			fields := strings.SplitN(line, " ", 5) // number mode user group path
			if len(fields) != 5 {
				return nil, fmt.Errorf("list the copies kept on %s: line %q of %s/manifest cannot be read", h.Name, line, folder)
			}
			// The copy made first has what was there before the run.
			if seen[fields[4]] {
				continue
			}
			seen[fields[4]] = true
			what := "put back " + fields[4]
			switch name := path.Base(fields[4]); {
			case fields[0] == "-" && name == "pgfleet.conf":
				what = "empty " + fields[4] + " (it was not there)"
			case fields[0] == "-":
				what = "remove " + fields[4] + " (it was not there)"
			}
			out = append(out, what)
		}
	}
	return out, nil
}
