package inventory

import "slices"

// replicating gives servers with an identity for replication the role client: their standbys log in on other servers as clients do. What the role client has of
// variables is meant for applications' hosts, and is not theirs.
func (r *reader) replicating() {
	for _, d := range r.hosts {
		if !slices.ContainsFunc(d.Identities, func(id Identity) bool { return id.Replication }) {
			continue
		}
		switch {
		case !d.HasRole("db_server"):
			r.add(d.identitiesLine, "%s.identities: replication: true is for a standby's logins, and this host has no role db_server", d.what)
		case !d.HasRole("client"):
			d.Roles, d.replicates = append(slices.Clone(d.Roles), "client"), true
		}
	}
}

// replication reports what an identity for replication cannot say besides.
func (r *reader) replication(id Identity, line int, what string) {
	switch {
	case !id.Replication:
	case !id.AllowPrivileged:
		r.add(line, "%s: who may replicate can read everything; if that is meant, write {user: %s, replication: true, allow_privileged: true}", what, id.DBUser)
	case len(id.Databases) > 0 || id.Default:
		r.add(line, "%s: %s is for replication, which has no databases and no default files; what else it logs in for is an identity of its own", what, id.DBUser)
	}
}
