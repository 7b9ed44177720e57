package tasks

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// postgresIdent writes pgfleet's maps at the top of pg_ident.conf.
type postgresIdent struct {
	Lines []string `param:"lines,required" doc:"whole lines of pg_ident.conf: map, name in the certificate or of the system user, role; a list. An empty list removes the block"`
}

var _ = register(Kind{
	Name:    "postgres_ident",
	Summary: "Map names in certificates to roles, with a block at the top of pg_ident.conf",
	Doc: `One marked block at the top; what you wrote stays below it, byte for byte. A map has an effect where a rule of pg_hba.conf names it (map=…). ` +
		`It takes effect with postgres_reload. Refused: lines that PostgreSQL would not read, files that Patroni writes.`,
	Example: "postgres_ident: {lines: [\"apps app1.example.net dbuser1\"]}",
	New:     func() Task { return &postgresIdent{} },
	Roles:   []string{"db_server"},
})

// Validate checks that each line is one mapping.
func (t *postgresIdent) Validate() []*ParamError {
	var out []*ParamError
	for _, line := range t.Lines {
		list, err := postgres.ReadIdent([]byte(line), 15)
		switch {
		case err != nil:
			out = append(out, &ParamError{"lines", fmt.Sprintf("%q: %v", line, err)})
		case len(list) != 1 || strings.ContainsAny(line, "\n\r") || strings.HasSuffix(line, `\`):
			out = append(out, &ParamError{"lines", fmt.Sprintf("%q is not one line of pg_ident.conf", line)})
		}
	}
	return out
}

// Needs gives the probe of clusters.
func (t *postgresIdent) Needs(h *Host) []transport.Step {
	return []transport.Step{PostgresProbe(h)}
}

// Check compares the block of each cluster.
func (t *postgresIdent) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var steps []transport.Step
	var titles []string
	for _, c := range clusters {
		was, user, err := postgres.SplitBlock(c.Ident)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: cluster %s: %s: %w", ErrRefused, h.Name, c.ID, c.IdentFile, err)
		}
		after := string(postgres.JoinBlock(t.Lines, user))
		if after == string(c.Ident) {
			continue
		}
		if c.writer(c.Ident) != "" {
			return nil, fmt.Errorf("%s: cluster %s: %w", h.Name, c.ID, &managedError{c.IdentFile, c.Managed, "put these lines into its pg_ident section", strings.Join(t.Lines, "\n")})
		}
		if c.ConfigFiles[c.IdentFile].Missing {
			return nil, fmt.Errorf("%w: %s: cluster %s: %s is not there; make an empty one that belongs to %s", ErrRefused, h.Name, c.ID, c.IdentFile, c.OSUser)
		}
		steps = append(steps, hbaSteps(h, c, "ident", c.IdentFile, string(c.Ident), after)...)
		titles = append(titles, fmt.Sprintf("cluster %s: change the maps in %s", c.ID, c.IdentFile))
		change.Diff += diffText(c.IdentFile, string(postgres.JoinBlock(was, nil)), string(postgres.JoinBlock(t.Lines, nil)))
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	return change, nil
}
