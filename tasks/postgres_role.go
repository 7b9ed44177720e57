package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/transport"
)

// postgresRole makes the roles of the declared identities.
type postgresRole struct {
	Password string `param:"password" default:"once" allowed:"once always never" doc:"when the password that an identity refers to is set: once (the role has none yet), always (in each run), never"`

	set map[string]bool
}

var _ = register(Kind{
	Name:    "postgres_role",
	Summary: "Make the database roles of the declared identities",
	Doc: `For each identity of the clients that use this server: a role that may log in, and replicate where the identity is for replication. Where the identity refers to a password ({env|file|command}, read on the controller ` +
		`when it is needed), PostgreSQL gets its SCRAM-SHA-256 verifier, never the password. Nothing else of a role is changed, and a role that is as wanted is left alone.

Only on primaries: standbys get their roles by replication. Refused: superuser, replication and postgres roles without allow_privileged; a role that has the name of a test certificate.`,
	Example: "postgres_role: {}",
	New:     func() Task { return &postgresRole{} },
	Roles:   []string{"db_server"},
})

// Needs gives the probe of clusters.
func (t *postgresRole) Needs(h *Host) []transport.Step {
	return []transport.Step{PostgresProbe(h)}
}

// roleWork is one role that is to be made or changed.
type roleWork struct {
	id Identity
	// create: it does not exist; login: it exists and may not log in; password: it gets the one referred to.
	create, login, password bool
	// replication: it may replicate, and did not.
	replication bool
}

// Check compares the roles of each primary.
func (t *postgresRole) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	ids, err := declaredRoles(h)
	if err != nil {
		return nil, err
	}
	work := map[*Cluster][]roleWork{}
	var order []*Cluster
	var titles []string
	for _, c := range clusters {
		if !c.Running || c.Standby {
			continue
		}
		if err := canaryRole(h, c); err != nil {
			return nil, err
		}
		list, err := t.missing(c, ids)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if len(list) > 0 {
			work[c], order = list, append(order, c)
			titles = append(titles, "cluster "+c.ID+": "+describeRoles(list))
		}
	}
	if len(order) == 0 {
		return nil, nil
	}
	return &Change{Summary: strings.Join(titles, "; "), Touches: []string{KeyPostgres},
		Apply: func(ctx context.Context, _ Doer) ([]transport.Step, error) { return t.steps(ctx, order, work) },
		Then: func(results []transport.Result) error {
			t.noteSet(order, work, results)
			return nil
		},
		Foresee: func(v *View) {
			for _, c := range order {
				v.foreseeCluster(c, func(seen *Cluster) { seen.foreseeRoles(work[c]) })
			}
		},
	}, nil
}

// declaredRoles gives each database user of the server's clients once.
func declaredRoles(h *Host) ([]Identity, error) {
	var out []Identity
	for _, client := range h.Fleet.Clients(h.Name) {
		for _, id := range client.Identities {
			i := slices.IndexFunc(out, func(o Identity) bool { return o.DBUser == id.DBUser })
			switch {
			case i < 0:
				out = append(out, id)
			case id.Replication != out[i].Replication:
				return nil, fmt.Errorf("%w: %s is an identity for replication on one host and for databases on another: give standbys a user of their own", ErrRefused, id.DBUser)
			case out[i].Password == nil:
				out[i].Password = id.Password
			case id.Password != nil && fmt.Sprint(out[i].Password) != fmt.Sprint(id.Password):
				return nil, fmt.Errorf("%w: identity %s has two different password references in the inventory", ErrRefused, id.DBUser)
			}
		}
	}
	return out, nil
}

// canaryRole refuses a role that has the name of a test certificate: whoever makes such a role could be let in by it.
func canaryRole(h *Host, c *Cluster) error {
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		good, revoked, err := h.Fleet.CA.Canaries(name)
		if err != nil {
			continue
		}
		for _, r := range c.Roles {
			if r.Name == good.Subject.CommonName || r.Name == revoked.Subject.CommonName {
				return fmt.Errorf("%w: %s: cluster %s: role %s has the name of a test certificate of authority %s; drop or rename it", ErrRefused, h.Name, c.ID, r.Name, name)
			}
		}
	}
	return nil
}

// missing compares the declared roles with those that exist.
func (t *postgresRole) missing(c *Cluster, ids []Identity) ([]roleWork, error) {
	var out []roleWork
	for _, id := range ids {
		i := slices.IndexFunc(c.Roles, func(r Role) bool { return r.Name == id.DBUser })
		if i < 0 {
			if id.DBUser == "postgres" && !id.AllowPrivileged || strings.HasPrefix(id.DBUser, "pg_") {
				return nil, fmt.Errorf("%w: identity %s: this role is not made by pgfleet", ErrRefused, id.DBUser)
			}
			out = append(out, roleWork{id: id, create: true, replication: id.Replication, password: id.Password != nil && t.Password != "never"})
			continue
		}
		r := c.Roles[i]
		if (r.Superuser || r.Replication) && !id.AllowPrivileged {
			return nil, fmt.Errorf("%w: cluster %s: role %s is a superuser or replication role; say allow_privileged for its identity if it shall log in from clients", ErrRefused, c.ID, r.Name)
		}
		password := id.Password != nil && (t.Password == "once" && !r.HasPassword || t.Password == "always" && !t.set[c.ID+"\x00"+r.Name])
		replication := id.Replication && !r.Replication && !r.Superuser
		if !r.Login || password || replication {
			out = append(out, roleWork{id: id, login: !r.Login, password: password, replication: replication})
		}
	}
	return out, nil
}

func describeRoles(list []roleWork) string {
	var out []string
	for _, w := range list {
		text := "let role " + w.id.DBUser + " log in"
		switch {
		case w.create:
			text = "make role " + w.id.DBUser
		case !w.login:
			text = "role " + w.id.DBUser
		}
		if w.replication {
			text += " that may replicate"
		}
		if w.password {
			text += ", set its password"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// steps run one transaction a cluster. The SQL travels over standard input.
func (t *postgresRole) steps(ctx context.Context, order []*Cluster, work map[*Cluster][]roleWork) ([]transport.Step, error) {
	var out []transport.Step
	for _, c := range order {
		sql, err := rolesSQL(ctx, work[c])
		if err != nil {
			return nil, err
		}
		step := clusterStep(c, "roles of", postgresRoleProgram, c.BinDir, c.SocketDir, strconv.Itoa(c.Port))
		step.Stdin = []byte(sql)
		out = append(out, step)
	}
	return out, nil
}

// noteSet remembers which passwords this run has set, so that "always" ends.
func (t *postgresRole) noteSet(order []*Cluster, work map[*Cluster][]roleWork, results []transport.Result) {
	if t.set == nil {
		t.set = map[string]bool{}
	}
	for i, c := range order {
		if i >= len(results) || results[i].Err != nil {
			return
		}
		for _, w := range work[c] {
			if w.password {
				t.set[c.ID+"\x00"+w.id.DBUser] = true
			}
		}
	}
}

// rolesSQL is one transaction. What it holds of passwords is verifiers, and the server is told not to log it.
func rolesSQL(ctx context.Context, list []roleWork) (string, error) {
	var b strings.Builder
	b.WriteString("set standard_conforming_strings = on;\nset synchronous_commit = local;\nset log_statement = 'none';\nset log_min_duration_statement = -1;\n" +
		"set pg_stat_statements.track_utility = off;\n" +
		"set log_min_error_statement = 'panic';\nbegin;\n")
	for _, w := range list {
		verb := "alter"
		if w.create {
			verb = "create"
		}
		fmt.Fprintf(&b, "%s role %s login", verb, quoteIdent(w.id.DBUser))
		if w.replication {
			b.WriteString(" replication")
		}
		if w.password {
			secret, err := readSecret(ctx, w.id.Password)
			if err != nil {
				return "", fmt.Errorf("password of %s: %w", w.id.DBUser, err)
			}
			verifier, err := scramVerifier(secret)
			if err != nil {
				return "", fmt.Errorf("password of %s: %w", w.id.DBUser, err)
			}
			fmt.Fprintf(&b, " password %s", quoteLiteral(verifier))
		}
		b.WriteString(";\n")
	}
	b.WriteString("commit;\n")
	if strings.ContainsRune(b.String(), 0) {
		return "", errors.New("a name holds a zero byte")
	}
	return b.String(), nil
}

// quoteIdent writes a name as an SQL identifier (PostgreSQL manual, 4.1.1).
func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral writes a text as an SQL string with standard_conforming_strings on (4.1.2.1).
func quoteLiteral(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
