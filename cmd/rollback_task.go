package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks"
	"github.com/pgfleet/pgfleet/transport"
)

// rollbackTask puts the files of one server back as they were before a run. It is no kind of its own: in a playbook it would undo what the
// plays before it did. It remembers the run that it chose, so that asked again it does not choose an older one.
type rollbackTask struct {
	// run to undo; "": the last that changed the server; firstRun: the first. The first Check fills in which these are.
	run string
	// wanted: the last Check found something to put back. told: what the host said while doing so.
	wanted bool
	told   []string
}

// Needs gives the probes that find clusters, their certificates and the copies kept of their files.
func (t *rollbackTask) Needs(h *tasks.Host) []transport.Step { return tasks.RollbackProbes(h) }

// Check finds the copies of before the run. That there are none is an error.
func (t *rollbackTask) Check(_ context.Context, h *tasks.Host) (*tasks.Change, error) {
	clusters, err := tasks.Clusters(h)
	if err != nil {
		return nil, err
	}
	first := t.run == firstRun
	switch kept := keptRuns(clusters); {
	case t.run != "" && !first:
	case len(kept) == 0:
		return nil, t.noCopy(clusters)
	case first:
		t.run = kept[0]
	default:
		t.run = kept[len(kept)-1]
	}
	known, ids := false, []string{}
	for _, c := range clusters {
		for _, k := range c.Copies {
			known = known || k.Run == t.run
			if k.Run == t.run && k.State != "undone" {
				ids = append(ids, c.ID)
				break
			}
		}
	}
	t.wanted = len(ids) > 0
	if !known {
		return nil, t.noCopy(clusters)
	}
	if !t.wanted {
		return nil, nil
	}
	steps, err := tasks.RollbackSteps(h, t.run)
	if err != nil {
		return nil, err
	}
	files, err := tasks.CopiedFiles(h, t.run)
	if err != nil {
		return nil, err
	}
	if others := tasks.OfOthers(clusters, files); len(others) > 0 {
		return nil, fmt.Errorf("%w: what is kept of before run %s is %s, the configuration of another cluster: this one was copied from it (pg_upgradecluster), and would lack what it needs to start", tasks.ErrRefused,
			t.run, strings.Join(others, ", "))
	}
	var diff strings.Builder
	before := false // pgfleet
	for _, f := range files {
		diff.WriteString(f.String() + "\n")
		before = before || f.Ours() && f.Missing
	}
	if first && !before {
		return nil, fmt.Errorf("%w: what was before pgfleet is not kept on this server any more; the oldest that is, is the state before run %s (--run %[2]s)", tasks.ErrRefused, t.run)
	}
	var notes []string
	if before {
		notes = append(notes, "this is the state from before pgfleet. Clients keep what they have got: services of pgfleet go on to ask for a certificate of its authorities, until pgfleet run mtls sets the server up again")
	}
	if changed := tasks.ChangedByOthers(clusters, files); len(changed) > 0 {
		notes = append(notes, fmt.Sprintf("not only pgfleet has changed %s since; those changes go too, and the files as they are now are kept in /etc/pgfleet/CLUSTER/NAME.before-rollback-%s", strings.Join(changed, ", "), t.run))
	}
	if unseen := h.Fleet.UnseenLists(); len(unseen) > 0 {
		notes = append(notes, fmt.Sprintf("the lists of %s could not be seen: whether they have revoked a certificate that comes back is not known", strings.Join(unseen, ", ")))
	}
	return &tasks.Change{
		Diff:    diff.String(),
		Notes:   notes,
		Summary: fmt.Sprintf("put back the files of %s as they were before run %s, and reload", strings.Join(ids, ", "), t.run),
		Touches: []string{tasks.KeyPostgres, tasks.KeyCopies},
		Apply:   func(context.Context, tasks.Doer) ([]transport.Step, error) { return steps, nil },
		Then:    t.listen,
	}, nil
}

// listen keeps what the host said.
func (t *rollbackTask) listen(results []transport.Result) error {
	for _, r := range results {
		for _, line := range strings.Split(strings.TrimSpace(string(r.Stdout)), "\n") {
			if line != "" {
				t.told = append(t.told, line)
			}
		}
	}
	return nil
}

// firstRun is the word for the first run.
const firstRun = "first"

// keptRuns gives the runs whose copies were not put back yet, oldest first; ids of runs sort by time.
func keptRuns(clusters []*tasks.Cluster) (out []string) {
	for _, c := range clusters {
		for _, k := range c.Copies {
			if k.State != "undone" && !slices.Contains(out, k.Run) {
				out = append(out, k.Run)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (t *rollbackTask) noCopy(clusters []*tasks.Cluster) error {
	kept := keptRuns(clusters)
	switch {
	case t.run == "" || t.run == firstRun:
		return fmt.Errorf("%w: no run changed this server, or all that it changed was put back", tasks.ErrRefused)
	case len(kept) == 0:
		return fmt.Errorf("%w: nothing is kept of run %s, nor of any other", tasks.ErrRefused, t.run)
	}
	return fmt.Errorf("%w: nothing is kept of run %s; --run takes one of: %s, or %s", tasks.ErrRefused, t.run, strings.Join(kept, ", "), firstRun)
}
