package tasks

import "fmt"

// refusePrivileged refuses certificates for database users that could do anything, unless the identity says so.
func (t *certificateTask) refusePrivileged(h *Host) error {
	for _, id := range h.Identities {
		if err := checkIdentity(id); err != nil {
			return fmt.Errorf("%w: identity of %s: %w", ErrRefused, h.Name, err)
		}
		if id.AllowPrivileged {
			continue
		}
		why := ""
		if id.DBUser == "postgres" {
			why = "is PostgreSQL's superuser"
		}
		for _, name := range h.Servers {
			if why == "" {
				why = privilegeOf(h.Fleet.Hosts[name], id.DBUser)
			}
		}
		if why != "" {
			return fmt.Errorf("%w: database user %s %s: a stolen key would open everything; use an ordinary role, or set allow_privileged: true for this identity of %s",
				ErrRefused, id.DBUser, why, h.Name)
		}
	}
	return nil
}

// privilegeOf says what a role may do on a server that ordinary roles may not; "" also when the server was not seen.
func privilegeOf(server *Host, role string) string {
	if server == nil {
		return ""
	}
	clusters, err := Clusters(server)
	if err != nil {
		return ""
	}
	for _, c := range clusters {
		for _, r := range c.Roles {
			switch {
			case r.Name != role:
			case r.Superuser:
				return "is a superuser on " + server.Name + " " + c.ID
			case r.Replication:
				return "may replicate on " + server.Name + " " + c.ID
			}
		}
	}
	return ""
}
