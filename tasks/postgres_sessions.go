package tasks

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

var _ = register(Kind{
	Name:    "postgres_sessions",
	Summary: "end the sessions that were opened with certificates which are revoked, or whose authority is replaced",
	Doc: `PostgreSQL looks at the lists of revoked certificates when somebody connects, and never again: a session that is open goes on. This ends those that were opened
with one of the certificates, found by serial number and issuer in pg_stat_ssl, replication included. Put it after the lists are in force (crl, postgres_reload), or they
come back.

With replaced, those that were opened with certificates of authorities that have a successor (replaces), once no client has such a certificate in force: its
application then comes back with the new one. Refused before, and where somebody would come back with the old one.`,
	Example: "postgres_sessions: {certificates: [\"clients:4A3F9C01\"]}",
	New:     func() Task { return new(postgresSessions) },
	Roles:   []string{"db_server"},
})

// postgresSessions is the kind postgres_sessions.
type postgresSessions struct {
	Certificates []string `param:"certificates,required" doc:"certificates as AUTHORITY:SERIAL, the serial number in hexadecimal digits"`
	Replaced     []string `param:"replaced" doc:"authorities with a successor, as named in the inventory"`

	named []namedCertificate
}

// Validate reads the certificates.
func (t *postgresSessions) Validate() (errs []*ParamError) {
	t.named, errs = readCertificates(t.Certificates)
	return errs
}

// Relies names the authorities of the certificates.
func (t *postgresSessions) Relies() map[string][]string {
	relies := authoritiesOf(t.Certificates)
	relies["replaced"] = t.Replaced
	return relies
}

// Needs gives the probe of clusters.
func (t *postgresSessions) Needs(h *Host) []transport.Step {
	return []transport.Step{PostgresProbe(h)}
}

// Check finds the sessions.
func (t *postgresSessions) Check(_ context.Context, h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	change := &Change{Touches: []string{KeyPostgres}}
	var titles []string
	var steps []transport.Step
	for _, c := range clusters {
		sessions, err := t.sessions(h, c)
		if err != nil {
			return nil, err
		}
		if len(sessions) == 0 {
			continue
		}
		var who []string
		for _, s := range sessions {
			if text := fmt.Sprintf("%s from %s", s.User, s.Address); !slices.Contains(who, text) {
				who = append(who, text)
			}
		}
		titles = append(titles, fmt.Sprintf("cluster %s: end the sessions of %s", c.ID, inShort(who, 3, ", ")))
		step := clusterStep(c, "end sessions of", postgresRoleProgram, c.BinDir, c.SocketDir, strconv.Itoa(c.Port))
		step.Stdin = []byte(endSQL(sessions))
		steps = append(steps, step)
	}
	if len(steps) == 0 {
		return nil, nil
	}
	change.Summary = strings.Join(titles, "; ")
	change.Apply = func(context.Context, Doer) ([]transport.Step, error) { return steps, nil }
	return change, nil
}

// sessions are those of a cluster that were opened with one of the certificates.
func (t *postgresSessions) sessions(h *Host, c *Cluster) ([]Session, error) {
	var out []Session
	for _, cert := range t.named {
		ca, err := h.Fleet.CA.Certificate(cert.authority)
		if err != nil {
			return nil, err
		}
		for _, s := range c.Sessions {
			if s.Serial == cert.serial.String() && postgres.IsName(s.Issuer, ca.RawSubject) {
				out = append(out, s)
			}
		}
	}
	more, err := t.ofReplaced(h, c)
	return append(out, more...), err
}

// ofReplaced are the sessions of a cluster that were opened with certificates of authorities that have a successor.
func (t *postgresSessions) ofReplaced(h *Host, c *Cluster) ([]Session, error) {
	var all []string
	for _, name := range t.Replaced {
		all = append(all, h.Fleet.Generations(name)...)
	}
	if len(all) == len(t.Replaced) {
		return nil, nil
	}
	a, err := (&trustTask{Authorities: t.Replaced, Only: "drop", CRL: "no", Profile: "server"}).anchorsFor(h, nil)
	if err != nil {
		return nil, err
	}
	sessions := h.Fleet.sessionsOf(c, a.gone)
	if len(sessions) == 0 {
		return nil, nil
	}
	if holders := h.Fleet.holders(pki.ProfileClient, a.gone); len(holders) > 0 {
		return nil, fmt.Errorf("%w: sessions are ended once no client has a certificate of %s in force: %s", ErrRefused, strings.Join(t.Replaced, ", "), inShort(holders, 5, "; "))
	}
	for _, s := range sessions {
		if c.refusedNow(s, a.gone) {
			continue
		}
		if !h.Fleet.knowsUser(s.User) {
			return nil, fmt.Errorf("%w: the session of %s from %s to %s began with a certificate of %s, and no client of the inventory has that user: it would come back with the same certificate; give it one of the successor first, or revoke the one that it has",
				ErrRefused, s.User, s.Address, h.Name, strings.Join(t.Replaced, ", "))
		}
		if from, standby := h.Fleet.standbyOf(c, s); standby != nil {
			if file, is := from.showsAnother(standby); is {
				return nil, fmt.Errorf("%w: the stream of the standby %s began with a certificate of %s and would come back with it: primary_conninfo of cluster %s there names %s; have it name the file that is replaced: pgfleet task postgres_replication -l %s",
					ErrRefused, from.Name, strings.Join(t.Replaced, ", "), standby.ID, file, from.Name)
			}
		}
	}
	return sessions, nil
}

// knowsUser tells whether a client of the fleet has an identity of a database user.
func (f *Fleet) knowsUser(name string) bool {
	for _, h := range f.Hosts {
		if slices.ContainsFunc(h.Identities, func(id Identity) bool { return id.DBUser == name }) {
			return true
		}
	}
	return false
}

// endSQL ends sessions and waits until they have ended, three seconds at most: a session notices only between two steps of its query.
func endSQL(sessions []Session) string {
	var which []string
	for _, s := range sessions {
		text := fmt.Sprintf("client_serial = %s and issuer_dn = %s", s.Serial, quoteLiteral(s.Issuer))
		// What is no UTF-8, of a character that PostgreSQL has cut for one, cannot be written here: bytes are compared as far as it can.
		if known, _, cut := strings.Cut(s.Issuer, "\uFFFD"); cut {
			text = fmt.Sprintf("client_serial = %s and position(textsend(%s) in textsend(issuer_dn)) = 1", s.Serial, quoteLiteral(known))
		}
		if !slices.Contains(which, text) {
			which = append(which, text)
		}
	}
	where := " from pg_stat_ssl where " + strings.Join(which, " or ")
	return "set standard_conforming_strings = on;\nselect pg_terminate_backend(pid)" + where + ";\n" +
		strings.Repeat("select pg_sleep(0.1) where exists (select"+where+");\n", 30)
}
