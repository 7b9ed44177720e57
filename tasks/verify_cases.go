package tasks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// verifyCaseLimit is how long one connection may take, in libpq's connect_timeout.
const verifyCaseLimit = 10 * time.Second

// seconds makes a count usable as a factor of a duration.
func seconds(n int) time.Duration { return time.Duration(n) }

// verifyCase is one connection test.
type verifyCase struct {
	client, check string
	service       Service
	params        []keyword
	password      string
	// chain and roots: public certificates of the client's files, for tests made without psql. View names of keys: see throughHost.
	chain, roots []*x509.Certificate
	// want: acceptable outcomes, the first one is shown.
	want []outcome
	// serial of the certificate that a good login must be seen with, decimal; "" when none is expected.
	serial string
	// hostaddr: an IP address of the server, "" when the inventory has none.
	hostaddr string
	// needsPassword: where none is known, being asked for one is as far as the test gets.
	needsPassword bool
	// replication: a login for replication; system is the system identifier that has to answer, "" for any.
	replication bool
	system      string
	// said is what psql printed, once the test was made.
	said string
	// tlsOnly: the test is about the server's certificate and name; what the server says to the login is not judged.
	tlsOnly bool
}

// keyword is one libpq connection parameter (PostgreSQL 17 manual, 32.1.2).
type keyword struct{ name, value string }

// conninfo writes parameters as libpq reads them; later ones win over what the service file says.
func conninfo(keywords []keyword) string {
	parts := make([]string, len(keywords))
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for i, k := range keywords {
		parts[i] = k.name + "='" + escape.Replace(k.value) + "'"
	}
	return strings.Join(parts, " ")
}

// settings are the parameters that every test of a service has. They are the service's own, written out, so that a test also works before
// the service file has it.
func settings(s Service) []keyword {
	return []keyword{{"host", s.Host}, {"port", fmt.Sprint(s.Port)}, {"user", s.DBUser}, {"dbname", s.DB}, {"sslmode", "verify-full"},
		{"sslrootcert", s.Files.Root}, {"sslcert", orNone(s, s.Files.Cert)}, {"sslkey", orNone(s, s.Files.Key)}, {"sslcrl", orNone(s, s.Files.CRL)},
		{"connect_timeout", fmt.Sprint(int(verifyCaseLimit.Seconds()))}, {"application_name", "pgfleet"}}
}

// orNone names a file that is not there where the service names none: an empty value would mean libpq's own default file.
func orNone(s Service, file string) string {
	if file == "" {
		return s.HomeDir + "/.postgresql/pgfleet/none"
	}
	return file
}

// with gives a service's parameters with some of them replaced.
func with(s Service, changes ...keyword) []keyword {
	list := settings(s)
	for _, c := range changes {
		at := slices.IndexFunc(list, func(k keyword) bool { return k.name == c.name })
		if at < 0 {
			list = append(list, c)
			continue
		}
		list[at] = c
	}
	return list
}

// cases lists the tests of a host: each service's own, and the refusals that are tried once a server. What is wrong without a test comes as cells.
func (v *verify) cases(ctx context.Context, h *Host) (list []verifyCase, wrong []Cell, err error) {
	services, err := Services(h)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range rotate(services, h.Name) {
		if !v.concerns(h, s) {
			continue
		}
		if wait := h.Fleet.Proofs.Waiting(s.Server); wait != nil {
			cell := verifyCase{client: h.Name, check: "login", service: s, want: []outcome{connects}}.blank()
			cell.NotProven, cell.Got, cell.Detail = true, "not tried", "that server is "+wait.Error()
			wrong = append(wrong, cell)
			continue
		}
		c, err := v.pair(h, s)
		if errors.Is(err, ErrPending) {
			cell := verifyCase{client: h.Name, check: "login", service: s, want: []outcome{connects}}.blank()
			cell.NotProven, cell.Got, cell.Detail = true, "not tried", "pgfleet itself has not looked at that server, so what it should answer is not known"
			wrong = append(wrong, cell)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if err := c.readPassword(ctx, h, v); err != nil {
			return nil, nil, err
		}
		if !v.tlsOnly() && c.stage == postgres.Altered {
			wrong = append(wrong, c.altered())
			continue
		}
		if c.settled(v) {
			continue
		}
		list = append(list, c.logins(v)...)
		if v.tlsOnly() || c.stage == "permissive" {
			continue
		}
		for _, r := range c.refusals() {
			if v.Level == "full" || h.Fleet.Proofs.Claim(s.Server+"/"+s.Cluster, r.check) {
				list = append(list, r)
			}
		}
	}
	return list, wrong, nil
}

// rotate lets every client begin at another server.
func rotate(services []Service, name string) []Service {
	if len(services) == 0 {
		return services
	}
	sum := 0
	for _, b := range []byte(name) {
		sum = sum*31 + int(b)
	}
	at := (sum & 0x7fffffff) % len(services)
	return slices.Concat(services[at:], services[:at])
}

// pairContext is what is known of one client identity and one cluster.
type pairContext struct {
	client  string
	service Service
	// stage to expect; now: what the server's rules say for this identity, "" when they do not admit it.
	stage, now, password string
	// serial: decimal, of the certificate in the client's file. others: users that the same rules ask for a certificate, each with a database of its own: rules
	// refuse it elsewhere before they ask. names: what the server's certificate must carry. addr: an IP address of the server, "" when the inventory has none.
	serial, addr string
	others       []otherUser
	names        []string
	chain, roots []*x509.Certificate
	// replication: the identity is a standby's; system is the server's system identifier.
	replication bool
	system      string
	// anyDatabase: the inventory names no databases for the identity.
	anyDatabase bool
}

// otherUser is a database user whose certificate an identity does not have, and a database that the rules let that user into.
type otherUser struct{ name, db string }

// settled: the server asks of this identity already what it is to prove before it is asked.
func (c *pairContext) settled(v *verify) bool {
	return v.tlsOnly() && (c.now == v.Enforce || c.replication && c.now == "cert" && v.Enforce != "permissive")
}

// pair gathers what is known of one service, but for the password.
func (v *verify) pair(h *Host, s Service) (*pairContext, error) {
	c := &pairContext{client: h.Name, service: s, stage: v.Enforce}
	server := h.Fleet.Hosts[s.Server]
	c.names = serverNames(server, nil)
	for _, n := range c.names {
		if _, err := netip.ParseAddr(n); err == nil && c.addr == "" {
			c.addr = n
		}
	}
	cluster, err := clusterOf(server, s.Cluster)
	if err != nil {
		return nil, fmt.Errorf("verify %s from %s: %w", s.Server, h.Name, err)
	}
	if err := c.ofCluster(h, cluster); err != nil {
		return nil, err
	}
	return c, c.ofIdentity(h)
}

// readPassword follows the identity's reference where a login is going to be asked for a password.
func (c *pairContext) readPassword(ctx context.Context, h *Host, v *verify) error {
	ref := c.identity(h).Password
	if ref == nil || v.tlsOnly() || c.stage == "permissive" || c.stage == "cert" {
		return nil
	}
	secret, err := readSecret(ctx, ref)
	if err != nil {
		return fmt.Errorf("password of %s: %w", c.service.DBUser, err)
	}
	if strings.ContainsAny(secret, "\n\x00") {
		return fmt.Errorf("%w: the password of %s has more than one line, which psql cannot be given", ErrRefused, c.service.DBUser)
	}
	c.password = secret
	return nil
}

// clusterOf gives one of a server's clusters.
func clusterOf(server *Host, id string) (*Cluster, error) {
	clusters, err := Clusters(server)
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		if c.ID == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no cluster %s there", id)
}

// ofCluster fills what the server's rules say.
func (c *pairContext) ofCluster(h *Host, cluster *Cluster) error {
	now, scope := postgres.StageOf(cluster.HBA)
	if c.stage == "" {
		c.stage = now
	}
	c.now, c.anyDatabase = now, len(c.identity(h).Databases) == 0
	if c.anyDatabase {
		c.service.DB = cluster.databasesOf(cluster.HBA, c.identity(h))[0]
	}
	if now != "permissive" {
		c.now = cluster.stageFor(cluster.HBA, h, c.identity(h))
	}
	if c.identity(h).Replication {
		c.replication, c.system = true, cluster.Replication.System
		if c.stage != "permissive" && c.stage != postgres.Altered {
			c.stage = "cert" // whatever is asked of applications
		}
		return nil
	}
	if scope == "all" {
		for _, r := range cluster.Roles {
			if r.Login && r.Name != c.service.DBUser {
				c.others = append(c.others, otherUser{r.Name, c.service.DB})
			}
		}
		return nil
	}
	for _, id := range h.Identities {
		if id.DBUser != c.service.DBUser && !id.Replication && cluster.stageFor(cluster.HBA, h, id) == "cert" {
			c.others = append(c.others, otherUser{id.DBUser, cluster.databasesOf(cluster.HBA, id)[0]})
		}
	}
	return nil
}

// identity is the one that the service is for.
func (c *pairContext) identity(h *Host) Identity {
	for _, id := range h.Identities {
		if id.OSUser == c.service.OSUser && id.DBUser == c.service.DBUser {
			return id
		}
	}
	return Identity{}
}

// ofIdentity fills what the client's files and the inventory say.
func (c *pairContext) ofIdentity(h *Host) error {
	st, err := stateOf(h, c.identity(h))
	if err != nil {
		return err
	}
	c.roots = st.entry(c.service.Files.Root).certificates()
	if st.Current.complete() {
		c.chain, c.serial = st.Current.Chain, st.Current.Chain[0].SerialNumber.String()
	}
	if pem := st.Base + "/" + replicationFile; c.replication && st.entry(pem).Kind == "file" {
		c.service.Files.Cert, c.service.Files.Key = pem, pem // as primary_conninfo has it
	}
	return nil
}

func (c *pairContext) test(check string, want []outcome, changes ...keyword) verifyCase {
	if c.replication {
		changes = append(changes, keyword{"replication", "true"})
	}
	if c.client == c.service.Server && c.addr != "" && want[0] != connects {
		changes = append(changes, keyword{"hostaddr", c.addr}) // from its loopback addresses a server refuses less
	}
	return verifyCase{client: c.client, check: check, service: c.service, want: want, replication: c.replication, system: c.system,
		params: with(c.service, changes...), chain: c.chain, roots: c.roots, hostaddr: c.addr}
}

// altered is the cell of a server whose rules are not those of any stage: nobody can tell what has to be expected there.
func (c *pairContext) altered() Cell {
	cell := verifyCase{client: c.client, check: "rules", service: c.service, want: []outcome{"the rules of a stage"}}.blank()
	cell.Refusal, cell.Via = false, "pg_hba.conf"
	cell.Got, cell.Detail = "rules that were changed by hand", "run the playbook again: it puts its rules back"
	return cell
}
