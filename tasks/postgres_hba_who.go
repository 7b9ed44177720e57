package tasks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// admissions gives one admission for each declared user: its databases, and the addresses of all clients that have it.
func (t *postgresHBA) admissions(h *Host, c *Cluster) ([]postgres.Admission, error) {
	var out []postgres.Admission
	for _, client := range h.Fleet.Clients(h.Name) {
		if len(client.Identities) == 0 {
			continue
		}
		from, err := t.clientAddresses(h, c, client)
		if err != nil {
			return nil, err
		}
		for _, id := range client.Identities {
			if id.Replication {
				continue
			}
			databases := id.Databases
			if len(databases) == 0 {
				databases = t.Databases
			}
			for _, name := range append([]string{id.DBUser}, databases...) {
				if err := postgres.CheckName(name); err != nil {
					return nil, fmt.Errorf("%w: %w", ErrRefused, err)
				}
			}
			out = admit(out, postgres.Admission{User: id.DBUser, Databases: databases, Addresses: from, Method: t.method(c, id.DBUser)})
		}
	}
	return out, nil
}

// admit adds the addresses to the admission of the same user and databases, or appends a new one.
func admit(list []postgres.Admission, a postgres.Admission) []postgres.Admission {
	for i := range list {
		if list[i].User == a.User && slices.Equal(list[i].Databases, a.Databases) {
			for _, p := range a.Addresses {
				if !slices.Contains(list[i].Addresses, p) {
					list[i].Addresses = append(list[i].Addresses, p)
				}
			}
			return list
		}
	}
	a.Addresses = slices.Clone(a.Addresses)
	return append(list, a)
}

// clientAddresses tells from where a client comes: the addresses that the inventory gives it, else what its name means on the server.
func (t *postgresHBA) clientAddresses(h *Host, c *Cluster, client *Host) ([]netip.Prefix, error) {
	var out []netip.Prefix
	add := func(text string) {
		if addr, err := netip.ParseAddr(text); err == nil && (!addr.IsLoopback() || client.Name == h.Name) {
			if p := netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen()); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	for _, text := range append([]string{client.Address}, client.Names...) {
		add(text)
	}
	if len(out) == 0 {
		for _, text := range c.Resolved[client.Address] {
			add(text)
		}
	}
	if len(out) == 0 && len(t.Addresses) == 0 {
		return nil, fmt.Errorf("%w: from which address does client %s come? %q means none on %s; give the client an address in the inventory (address: or names:), or this task addresses:",
			ErrRefused, client.Name, client.Address, h.Name)
	}
	if client.Name == h.Name { // its own name often means 127.0.1.1
		out = append(out, loopback()...)
	}
	for _, text := range t.Addresses {
		if p, err := readPrefix(text); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// unprovedClients are those whose rules change and that have not connected with verify-full in this run, but for those that wait for somebody else (see hbaWork.waiting).
func (w *hbaWork) unprovedClients() []string {
	var out []string
	for _, client := range w.h.Fleet.Clients(w.h.Name) {
		if len(client.identitiesAt(w.h)) == 0 || w.h.Fleet.Proofs.Has(client.Name, w.h.Name, "verify-full") || w.sameRulesFor(client) {
			continue
		}
		if wait := w.h.Fleet.Proofs.Waiting(client.Name); wait != nil {
			w.waiting = w.waiting.also(wait)
			continue
		}
		out = append(out, client.Name)
	}
	return out
}

// sameRulesFor tells whether the rules ask of a client's users what they ask of them already.
func (w *hbaWork) sameRulesFor(client *Host) bool {
	for _, id := range client.identitiesAt(w.h) {
		if now := w.c.stageFor([]byte(w.before), client, id); now == "" || now != w.c.stageFor([]byte(w.after), client, id) {
			return false
		}
	}
	return true
}

// stageFor tells what pgfleet's block of a pg_hba.conf asks of a client's identity, from each of its addresses and for each of its databases; ""
// when that differs, or when one of them is not certainly admitted.
func (c *Cluster) stageFor(hba []byte, client *Host, id Identity) string {
	reader := postgres.Reader{Major: c.Major, Groups: groupsOf(c.Roles)}
	databases, stage := c.databasesOf(hba, id), ""
	for i, addr := range c.addressesOf(client) {
		for j, db := range databases {
			one := reader.StageFor(hba, postgres.Login{User: id.DBUser, Database: db, Replication: id.Replication, Address: addr})
			if one == "" || i+j > 0 && one != stage {
				return ""
			}
			stage = one
		}
	}
	return stage
}

// databasesOf are those of an identity; where the inventory names none, those that the block does (databases of postgres_hba), else postgres.
func (c *Cluster) databasesOf(hba []byte, id Identity) []string {
	if len(id.Databases) > 0 {
		return id.Databases
	}
	if list := (postgres.Reader{Major: c.Major}).DatabasesFor(hba, id.DBUser); len(list) > 0 {
		return list
	}
	return []string{"postgres"}
}

// addressesOf are the addresses that the inventory gives a client, else those that its name means on the server.
func (c *Cluster) addressesOf(client *Host) []netip.Addr {
	var out []netip.Addr
	for _, list := range [][]string{append([]string{client.Address}, client.Names...), c.Resolved[client.Address]} {
		for _, text := range list {
			if addr, err := netip.ParseAddr(text); err == nil {
				out = append(out, addr.Unmap().WithZone(""))
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// mostNamed is how many of those who would be refused for the same reason are named: a server may have thousands of roles.
const mostNamed = 50

// shutOut says who would be refused by surprise, and what to do about it: roles that may log in and sessions that are open, both without being declared; applications that do not show
// their certificate; clients that come from another address. Each part is one reason.
func (w *hbaWork) shutOut() (parts []string, err error) {
	before, err := postgres.ReadHBA([]byte(w.before), w.c.Major)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, w.c.HBAFile, err)
	}
	after, err := postgres.ReadHBA([]byte(w.after), w.c.Major)
	if err != nil {
		return nil, fmt.Errorf("%w: the new %s: %w", ErrRefused, w.c.HBAFile, err)
	}
	reader := postgres.Reader{Major: w.c.Major, Groups: groupsOf(w.c.Roles)}
	j := &judge{w: w, reader: reader, before: before, after: after, blockEnd: len(w.lines) + 2, declared: w.declaredUsers(false), replicating: w.declaredUsers(true),
		indexBefore: reader.Index(before), indexAfter: reader.Index(after), ofRoles: map[string]loss{}, ofDatabases: map[string]loss{}}
	var undeclared, applications []string
	for _, r := range w.c.Roles {
		if r.Login && !r.ValidUntilPast {
			if text := j.role(r); text != "" {
				undeclared = append(undeclared, text)
			}
		}
	}
	for _, s := range w.c.Sessions {
		if text := j.application(s); text != "" {
			if !slices.Contains(applications, text) {
				applications = append(applications, text)
			}
		} else if text := j.session(s); text != "" && !w.readyStandby(s) && !slices.Contains(undeclared, text) {
			undeclared = append(undeclared, text)
		}
	}
	for _, part := range []struct {
		what, todo string
		who        []string
	}{
		{"these would be refused and are not declared", "declare them as identities, or as exceptions of this task", undeclared},
		{"the applications of these users do not use what pgfleet has given them yet, and would be refused when they connect again",
			"have them use their service or its files (pgfleet.env) and connect again, then run again", applications},
		{"these come from another address than the rules would be for, and would be refused", "add the address to names of that client in the inventory, or to addresses of this task", j.elsewhere()},
	} {
		if len(part.who) == 0 {
			continue
		}
		who := part.who
		if more := len(who) - mostNamed; more > 0 {
			who = append(who[:mostNamed:mostNamed], fmt.Sprintf("and %d more", more))
		}
		parts = append(parts, part.what+":\n  "+strings.Join(who, "\n  ")+"\n"+part.todo+", or go on with --accept-refusals")
	}
	return parts, nil
}

// declaredUsers are the database users of the identities that use this server, for replication or for databases.
func (w *hbaWork) declaredUsers(replication bool) map[string]bool {
	out := map[string]bool{}
	for _, client := range w.h.Fleet.Clients(w.h.Name) {
		for _, id := range client.Identities {
			if id.Replication == replication {
				out[id.DBUser] = true
			}
		}
	}
	return out
}

// groupsOf gives the lookup of every group that a role is in, directly or not.
func groupsOf(roles []Role) func(string) []string {
	direct := map[string][]string{}
	for _, r := range roles {
		direct[r.Name] = r.Groups
	}
	known := map[string][]string{}
	return func(role string) []string {
		out, ok := known[role]
		if ok {
			return out
		}
		seen := map[string]bool{}
		for todo := []string{role}; len(todo) > 0; todo = todo[1:] {
			for _, g := range direct[todo[0]] {
				if !seen[g] {
					seen[g] = true
					out, todo = append(out, g), append(todo, g)
				}
			}
		}
		known[role] = out
		return out
	}
}
