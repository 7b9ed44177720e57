package tasks

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

// postgresReplication has standbys stream over mutual TLS.
type postgresReplication struct {
	Only string `param:"only" allowed:"renew" doc:"renew: only where it names the files of one version of the certificate, which go when that is renewed twice, or where the stream began with a certificate of another authority than the one in force is of"`
}

//go:embed postgres_replication.sh
var postgresReplicationProgram string

var _ = register(Kind{
	Name:    "postgres_replication",
	Summary: "Have a standby stream from its primary with verified TLS and its own certificate",
	Doc: `For each standby on the host: primary_conninfo gets the user of the host's identity with replication: true, sslmode=verify-full, and that identity's ` +
		`certificate, trust and list. Everything else in it stays: host, port, password, passfile, application_name; the slot is another setting. Options that forbid a login by certificate ` +
		`(require_auth, channel_binding, sslcertmode) go, and the password of another user. A primary, and a standby that only restores from an archive, are left alone.

First a login for replication is made with the new value, as the server's OS user: when it is refused, nothing is changed. The value is set where the one in force is: by ALTER SYSTEM ` +
		`(where pg_basebackup -R puts it), or in the line of the file that somebody wrote. The one of before is kept in /etc/pgfleet/CLUSTER/primary_conninfo.before. From PostgreSQL 13 on a reload ` +
		`brings it into force and the stream begins anew within a moment; when it does not stream within 30 seconds the one of before comes back. PostgreSQL 12 reads it when it is started: pgfleet does not restart it.

New certificates need nothing of this: the file that primary_conninfo names is replaced, and read at the next connection.

Refused: what Patroni writes (the YAML to apply is printed); a value from the command line; a connection string that is a URI.`,
	Example: "postgres_replication: {}",
	New:     func() Task { return &postgresReplication{} },
	Roles:   []string{"db_server"},
})

// Needs gives the probes of clusters and of the host's identities.
func (t *postgresReplication) Needs(h *Host) []transport.Step {
	return append([]transport.Step{PostgresProbe(h)}, identityProbes(h)...)
}

// replicationWork is one standby whose primary_conninfo is not as wanted.
type replicationWork struct {
	c         *Cluster
	id        Identity
	was, next postgres.ConnInfo
	file      string // the certificate's
	// anew: nothing differs, but the stream is to begin anew, with the certificate of now.
	anew bool
}

// Check compares the standbys of a host.
func (t *postgresReplication) Check(_ context.Context, h *Host) (*Change, error) {
	ids := slices.DeleteFunc(slices.Clone(h.Identities), func(id Identity) bool { return !id.Replication })
	if len(ids) == 0 {
		return nil, nil
	}
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var work []replicationWork
	var titles []string
	for _, c := range clusters {
		if !c.Running || !c.Standby || c.Replication.ConnInfo == "" {
			continue
		}
		w, err := t.plan(h, c, ids)
		if err != nil {
			return nil, fmt.Errorf("%s: cluster %s: %w", h.Name, c.ID, err)
		}
		if w == nil {
			continue
		}
		work = append(work, *w)
		if w.anew {
			titles = append(titles, fmt.Sprintf("cluster %s begins its stream as %s anew, with its certificate of now", c.ID, w.id.DBUser))
			continue
		}
		titles = append(titles, fmt.Sprintf("cluster %s streams as %s with verified TLS and its certificate%s", c.ID, w.id.DBUser, w.when()))
		change.Diff += diffText("primary_conninfo of cluster "+c.ID, w.was.Shown()+"\n", w.next.Shown()+"\n")
		if w.restarts() {
			change.Notes = append(change.Notes, fmt.Sprintf("%s: PostgreSQL %d takes the new primary_conninfo of cluster %s when it is restarted: do that before the primary insists on certificates", h.Name, c.Major, c.ID))
		}
	}
	if len(work) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		var steps []transport.Step
		for _, w := range work {
			if err := w.try(ctx, do); err != nil {
				return nil, fmt.Errorf("cluster %s: %w", w.c.ID, err)
			}
			steps = append(steps, w.step())
			if h.Fleet.Proofs != nil {
				h.Fleet.Proofs.Add(h.Name, "", streamedAnew+w.c.ID) // its primary, which sees with what, is not looked at again
			}
		}
		return steps, nil
	}
	return change, nil
}

// plan gives what has to be done for a standby; nil: nothing.
func (t *postgresReplication) plan(h *Host, c *Cluster, ids []Identity) (*replicationWork, error) {
	r := c.Replication
	was, err := postgres.ReadConnInfo(orText(r.Written, r.ConnInfo))
	if err != nil {
		return nil, fmt.Errorf("%w: primary_conninfo cannot be read: %w", ErrRefused, err)
	}
	id, err := replicationIdentity(ids, c, was.Get("user"))
	if err != nil || id == nil {
		return nil, err
	}
	st, err := stateOf(h, *id)
	if err != nil {
		return nil, err
	}
	if t.Only == "renew" && !strings.HasPrefix(was.Get("sslcert"), st.Base+"/v/") {
		if !t.beginsAnew(h, c, st, was) {
			return nil, nil
		}
		return &replicationWork{c: c, id: *id, was: was, next: was, file: st.Base + "/" + replicationFile, anew: true}, nil
	}
	if st.Current == nil || !st.made(replicationFile, st.Current) {
		if h.Fleet.CheckOnly && h.View.Planned(identityKey(*id)) {
			return nil, fmt.Errorf("certificate of %s: %w", id.DBUser, ErrPending)
		}
		return nil, fmt.Errorf("%w: %s of %s has no certificate yet: put trust and certificate with profile: client before this", ErrRefused, id.DBUser, id.OSUser)
	}
	w := &replicationWork{c: c, id: *id, was: was, file: st.Base + "/" + replicationFile}
	w.next = was.Without(c.againstCertificates(was)...).With(
		postgres.Parameter{Name: "user", Value: id.DBUser}, postgres.Parameter{Name: "sslmode", Value: "verify-full"},
		postgres.Parameter{Name: "sslcert", Value: w.file}, postgres.Parameter{Name: "sslkey", Value: w.file},
		postgres.Parameter{Name: "sslrootcert", Value: st.Base + "/root.crt"},
		// libpq passes over a list that is not there; when one comes it is followed.
		postgres.Parameter{Name: "sslcrl", Value: st.Base + "/root.crl"})
	if was.Get("user") != id.DBUser {
		w.next = w.next.Without("password") // another user's
	}
	switch {
	case w.next.String() == was.String():
		return nil, nil
	case c.Managed != "":
		return nil, w.managed()
	case strings.ContainsAny(r.Written, "\n\r"):
		return nil, fmt.Errorf("%w: primary_conninfo has more than one line: write it as one", ErrRefused)
	case r.Source != "configuration file":
		return nil, fmt.Errorf("%w: primary_conninfo comes from the server's %s, which no file overrides; take it from there and restart the server", ErrRefused, r.Source)
	}
	return w, nil
}

// streamedAnew is noted, with the cluster, for a standby whose stream this run has had begin anew.
const streamedAnew = "stream began anew: "

// beginsAnew tells whether a standby's stream, which would go on with the certificate that it began with, can and shall begin anew with the one in force.
func (t *postgresReplication) beginsAnew(h *Host, c *Cluster, st *identityState, was postgres.ConnInfo) bool {
	r := c.Replication
	if c.Managed != "" || r.Source != "configuration file" || r.Context == "postmaster" || strings.ContainsAny(r.Written, "\n\r") || was.Get("sslcert") != st.Base+"/"+replicationFile {
		return false
	}
	done := h.Fleet.Proofs != nil && h.Fleet.Proofs.Has(h.Name, "", streamedAnew+c.ID)
	return !done && h.streamsAsBefore(c, st)
}

// replicationIdentity chooses the identity of a standby: that of the user that it streams as, else the only one of its OS user; nil: none.
func replicationIdentity(ids []Identity, c *Cluster, user string) (*Identity, error) {
	var own []Identity
	for _, id := range ids {
		if id.OSUser != c.OSUser {
			continue
		}
		if id.DBUser == user {
			return &id, nil
		}
		own = append(own, id)
	}
	switch len(own) {
	case 0:
		return nil, nil
	case 1:
		return &own[0], nil
	}
	return nil, fmt.Errorf("%w: it streams as %s, and the inventory has several other identities for replication of %s: leave one, or name that user", ErrRefused, user, c.OSUser)
}

// autoConf tells whether ALTER SYSTEM has set primary_conninfo.
func (c *Cluster) autoConf() bool {
	return strings.HasSuffix(c.Replication.File, "/postgresql.auto.conf")
}

// restarts tells whether the server takes a new value only at a start.
func (w *replicationWork) restarts() bool { return w.c.Replication.Context == "postmaster" }

func (w *replicationWork) when() string {
	if w.restarts() {
		return ", once it is restarted"
	}
	return ""
}

// managed is the refusal to change what Patroni writes.
func (w *replicationWork) managed() error {
	var b strings.Builder
	fmt.Fprintf(&b, "postgresql:\n  authentication:\n    replication:\n      username: '%s'\n", strings.ReplaceAll(w.id.DBUser, "'", "''"))
	for _, name := range []string{"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl"} {
		fmt.Fprintf(&b, "      %s: '%s'\n", name, strings.ReplaceAll(w.next.Get(name), "'", "''"))
	}
	return &managedError{"primary_conninfo", w.c.Managed, "set this in Patroni's own configuration on each host and have it reload (patronictl reload)", b.String()}
}

// try logs in for replication with the new value.
func (w *replicationWork) try(ctx context.Context, do Doer) error {
	c := verifyCase{service: Service{OSUser: w.c.OSUser, DBUser: w.id.DBUser}, check: "replication", want: []outcome{connects}, replication: true, system: w.c.Replication.System}
	for _, p := range w.next {
		switch p.Name {
		case "password":
			c.password = p.Value
		case "dbname", "replication", "connect_timeout", "application_name":
		default:
			c.params = append(c.params, keyword{p.Name, p.Value})
		}
	}
	c.params = append(c.params, keyword{"connect_timeout", fmt.Sprint(int(verifyCaseLimit.Seconds()))}, keyword{"application_name", "pgfleet"}, keyword{"replication", "true"})
	step := verifyStep(w.c.OSUser, []verifyCase{c}, []int{0})
	results, err := do.Do(ctx, step)
	if err != nil {
		return err
	}
	if err := transport.Failed([]transport.Step{step}, results); err != nil {
		return err
	}
	answers, err := parseTried(results[0].Stdout)
	if err != nil || len(answers) != 1 {
		return fmt.Errorf("a login for replication gave no answer: %w", err)
	}
	if cell := c.cell(classify(answers[0].code, answers[0].text), answers[0].text, "psql"); !cell.OK {
		return fmt.Errorf("%w: a login for replication as %s at %s with its certificate does not work, so primary_conninfo was left as it is: %s (%s)", ErrRefused, w.id.DBUser,
			orText(w.next.Get("host"), w.next.Get("hostaddr")), cell.Got, cell.Detail)
	}
	return nil
}

func orText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// step sets the new value.
func (w *replicationWork) step() transport.Step {
	file, line, how := "", "0", "reload"
	if !w.c.autoConf() {
		file, line = w.c.Replication.File, strconv.Itoa(w.c.Replication.Line)
	}
	if w.restarts() {
		how = "restart"
	}
	set := func(value string) string {
		return "set log_statement = 'none'; set log_min_duration_statement = -1; set log_min_error_statement = 'panic'; set standard_conforming_strings = on; alter system set primary_conninfo = " + quoteLiteral(value) + ";"
	}
	// In a configuration file backslashes count in quotes (PostgreSQL manual, 19.1.2).
	conf := func(value string) string {
		return "primary_conninfo = '" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value) + "'"
	}
	was, next := w.c.Replication.Written, w.next.String()
	if next == was {
		next += " " // means the same, and is another value: the stream begins anew
	}
	step := clusterStep(w.c, "primary_conninfo of", postgresReplicationProgram, w.c.Dir, w.c.BinDir, w.c.SocketDir, strconv.Itoa(w.c.Port), file, line, how, w.file)
	step.Stdin = []byte(strings.Join([]string{next, was, set(next), set(was), conf(next), conf(was)}, "\n") + "\n")
	step.Limit = 2 * time.Minute
	return step
}
