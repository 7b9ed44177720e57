package tasks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// postgresReload has servers read their files again where the live server shows that they have not, and proves what they serve.
type postgresReload struct {
	WithProof bool   `param:"prove" default:"yes" doc:"see the served certificate, the authorities asked for, TLS versions and test certificates from a new connection; files of before come back when that fails"`
	Only      string `param:"only" allowed:"renew" doc:"renew: reload only for the sake of certificates, authorities and lists, or for changes that nobody has proved; another change of the configuration alone waits"`

	notes []string
	// reloaded are the clusters that this task has had reloaded already, with the time of their reload before that.
	reloaded map[string]time.Time
	// before are the clusters as they were, or were foreseen, when it was applied: what can be undone where they cannot be asked any more.
	before []*Cluster
}

var _ = register(Kind{
	Name:    "postgres_reload",
	Summary: "Have PostgreSQL read its files again where needed, and prove the outcome",
	Doc: `Whether a reload is needed is seen on the live server: the certificate that it serves, the authorities that it asks for, settings in force, files newer than its ` +
		`last reload. So a run that died between writing and reloading is repaired by the next. What a server was proved to serve is noted in /etc/pgfleet/<cluster>/served, and ` +
		`believed until it reads its files again or is started anew, whoever has it do that; pgfleet certs always asks the server.

Before the signal every file is checked as the server's OS user sees it (a reload with a broken file changes nothing and says nothing, the next restart fails). ` +
		`Refused: a configuration or pg_hba.conf that the server rejects, with file and line; an authority without a current list of revoked certificates while ` +
		`lists are on, which locks out everybody with a certificate.

The proof is a new TLS connection through the host: certificate chain and authorities equal the files, TLS below the minimum is refused, and each authority's ` +
		`test certificates are shown to the server: the good one has to be accepted, the revoked one refused as revoked. Nobody has their keys: the server judges ` +
		`a certificate before it looks at the signature. What the server has shown last in this run with the same files, or with the same lowest version, it is not asked for again.`,
	Example: "postgres_reload: {}",
	New:     func() Task { return &postgresReload{} },
	Roles:   []string{"db_server"},
})

// Needs gives the probe of clusters. After the change, what is served is seen by the proof's own connection.
func (t *postgresReload) Needs(h *Host) []transport.Step {
	if t.WithProof && t.reloaded != nil {
		return []transport.Step{postgresProbe(h, "unseen")}
	}
	return []transport.Step{PostgresProbe(h)}
}

// Check compares what each server has in force with its files.
func (t *postgresReload) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	if h.Fleet.CheckOnly && h.View.Planned(KeyPostgres) {
		change.Summary = "reload after the changes above"
		change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return nil, nil }
		return change, nil
	}
	var steps []transport.Step
	var titles []string
	var work []*Cluster
	for _, c := range clusters {
		more, title, reasons, err := t.clusterWork(h, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if len(more) > 0 {
			steps, work = append(steps, more...), append(work, c)
			titles = append(titles, title)
		}
		if len(reasons) > 1 {
			change.Diff += "cluster " + c.ID + ":\n  " + strings.Join(reasons, "\n  ") + "\n"
		}
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) {
		t.reloaded = map[string]time.Time{}
		for _, c := range work {
			t.reloaded[c.ID] = c.LoadTime
		}
		t.before = clusters
		return steps, nil
	}
	return change, nil
}

// clusterWork gives the steps for one cluster, why in short, and every reason.
func (t *postgresReload) clusterWork(h *Host, c *Cluster) (steps []transport.Step, title string, reasons []string, err error) {
	if !c.Running {
		return nil, "", nil, nil
	}
	if t.Only == "renew" && !concernsTLS(c) && len(unproved(c, h.Fleet.Run)) == 0 {
		return nil, "", nil, nil
	}
	if err := t.mayReload(h, c); err != nil {
		return nil, "", nil, err
	}
	before, reloaded := t.reloaded[c.ID]
	// Also where there is nothing to reload: PostgreSQL goes on with what it has read before, until it is restarted.
	if err := startProblem(c); reloaded && err != nil {
		return nil, "", nil, fmt.Errorf("cluster %s: a server with these files would not start: %w", c.ID, err)
	} else if err != nil {
		return nil, "", nil, fmt.Errorf("%w: cluster %s: not reloaded, a server with these files would not start: %w%s", ErrRefused, c.ID, err, c.mends())
	}
	if reasons = reloadReasons(c); len(reasons) > 0 {
		if reloaded && c.LoadTime.Equal(before) {
			return nil, "", nil, fmt.Errorf("cluster %s: the server did not read its files again: postgresql.conf has an error that makes it ignore the whole file; its log says which", c.ID)
		}
		if served := servedReasons(c); len(served) == len(reasons) && reloaded {
			return nil, "", nil, fmt.Errorf("cluster %s: the server read its files, but %s: its log says why (\"SSL configuration was not reloaded\")", c.ID, strings.Join(served, "; "))
		}
		steps = append(steps, reloadStep(c))
		title = fmt.Sprintf("reload cluster %s: %s", c.ID, inShort(reasons, 1, "; "))
	}
	if left := unproved(c, h.Fleet.Run); t.WithProof && len(left) > 0 {
		if len(steps) > 0 {
			steps[0].Shell, steps[0].Argv = steps[0].Shell+"shift 2\n"+undoProvingProgram, append(steps[0].Argv, c.Dir, h.Fleet.Run)
		} else {
			steps = append(steps, clusterStep(c, "note proof of", undoProvingProgram, c.Dir, h.Fleet.Run))
		}
		if title == "" {
			title = fmt.Sprintf("prove cluster %s: changes of run %s were not proved yet", c.ID, strings.Join(left, ", "))
		}
	}
	return steps, title, reasons, nil
}

// inShort gives the first n reasons and how many more there are.
func inShort(reasons []string, n int, between string) string {
	if more := len(reasons) - n; more > 0 {
		return fmt.Sprintf("%s (and %d more)", strings.Join(reasons[:n], between), more)
	}
	return strings.Join(reasons, between)
}

// unproved gives the runs whose changes nobody has proved, and that the given run is not already about to prove.
func unproved(c *Cluster, run string) []string {
	var out []string
	for _, k := range c.Copies {
		if k.State == "unproved" && k.Proving != run && indexOf(out, k.Run) < 0 {
			out = append(out, k.Run)
		}
	}
	return out
}

// mayReload refuses what a reload would not bring into force or what would lock people out.
func (t *postgresReload) mayReload(h *Host, c *Cluster) error {
	if len(c.FileErrors) > 0 {
		return fmt.Errorf("%w: cluster %s: the server rejects its configuration and would not start again: %s", ErrRefused, c.ID, strings.Join(c.FileErrors, "; "))
	}
	if err := hbaBroken(c); err != nil {
		return err
	}
	if err := overridden(c, parseSettings(c.Ours)); err != nil {
		return err
	}
	if err := c.passphraseReload(); err != nil && concernsTLS(c) {
		return fmt.Errorf("%w: cluster %s: %w", ErrRefused, c.ID, err)
	}
	return listsMissing(h, c)
}

// hbaBroken refuses to touch a server whose pg_hba.conf it does not accept.
func hbaBroken(c *Cluster) error {
	if len(c.HBAErrors) == 0 {
		return nil
	}
	return fmt.Errorf("%w: cluster %s: the server does not accept its pg_hba.conf (old rules stay in force, the next start fails): %s; repair the file, then run again",
		ErrRefused, c.ID, strings.Join(c.HBAErrors, "; "))
}

// reloadStep has the server read its files again.
func reloadStep(c *Cluster) transport.Step {
	return clusterStep(c, "reload", postgresReloadProgram, c.BinDir, c.DataDir)
}

// Notes tells what the last proof could not show, "" when nothing was left out.
func (t *postgresReload) Notes() []string { return t.notes }
