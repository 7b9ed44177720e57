package tasks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// What the rules have to do with standbys.

// replications gives one admission for each declared user of standbys: the addresses of all servers that have it, but this one. It is always by certificate: they have
// one. open: nobody may be refused by these rules alone, so one is left out where a standby still streams as that user in another way that works.
func (t *postgresHBA) replications(h *Host, c *Cluster, open bool) ([]postgres.Admission, error) {
	var out []postgres.Admission
	for _, client := range h.Fleet.Clients(h.Name) {
		for _, id := range client.identitiesAt(h) {
			if !id.Replication {
				continue
			}
			if err := postgres.CheckName(id.DBUser); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrRefused, err)
			}
			from, err := t.clientAddresses(h, c, client)
			if err != nil {
				return nil, err
			}
			if open {
				from = slices.DeleteFunc(slices.Clone(from), func(p netip.Prefix) bool { return admittedOtherwise(c, client, id, p) })
			}
			out = admit(out, postgres.Admission{User: id.DBUser, Addresses: from, Method: "cert"})
		}
	}
	return out, nil
}

// admittedOtherwise tells whether a standby streams as an identity's user without its certificate, and the user's own rules let it in over TLS: a rule in front that
// wants the certificate would cut it.
func admittedOtherwise(c *Cluster, client *Host, id Identity, from netip.Prefix) bool {
	clusters, err := Clusters(client)
	if err != nil || !slices.ContainsFunc(clusters, func(s *Cluster) bool { return s.streamsAs(id.DBUser) && !s.streamsWith(client, id) }) {
		return false
	}
	_, user, err := postgres.SplitBlock(c.HBA)
	if err != nil {
		return false
	}
	rules, err := postgres.ReadHBA(user, c.Major)
	if err != nil {
		return false
	}
	reader := postgres.Reader{Major: c.Major, Groups: groupsOf(c.Roles)}
	_, may := reader.MayAdmit(rules, postgres.Login{User: id.DBUser, Replication: true, TLS: true, Address: from.Addr()})
	return may
}

// stream is a standby's cluster that the cluster of the work feeds; ready: it shows its certificate, or would after the changes that --check has shown.
type stream struct {
	standby *Host
	c       *Cluster
	ready   bool
}

// streams are those of declared standbys.
func (w *hbaWork) streams() []stream {
	var out []stream
	for _, standby := range w.h.Fleet.Clients(w.h.Name) {
		ids := slices.DeleteFunc(standby.identitiesAt(w.h), func(id Identity) bool { return !id.Replication })
		clusters, err := Clusters(standby)
		if len(ids) == 0 || err != nil {
			continue
		}
		for _, c := range clusters {
			if w.feeds(standby, c) {
				out = append(out, stream{standby, c, w.h.Fleet.CheckOnly && standby.View.Planned(KeyPostgres) ||
					slices.ContainsFunc(ids, func(id Identity) bool { return c.streamsWith(standby, id) })})
			}
		}
	}
	return out
}

// cutStreams lists the standbys that stream without their certificate, and could not connect again under the new rules.
func (w *hbaWork) cutStreams() []string {
	var out []string
	for _, s := range w.streams() {
		if s.ready {
			continue
		}
		what := "put postgres_replication before this task"
		if s.c.Replication.Pending {
			what = fmt.Sprintf("its primary_conninfo comes into force with a restart: restart cluster %s there, then run again", s.c.ID)
		}
		out = append(out, fmt.Sprintf("standby %s, cluster %s, does not show its certificate yet and could not connect again: %s", s.standby.Name, s.c.ID, what))
	}
	return out
}

// readyStandby tells whether an open session is the stream of a standby that shows its certificate by now: it was seen before that was so.
func (w *hbaWork) readyStandby(s Session) bool {
	addr, err := netip.ParseAddr(s.Address)
	return err == nil && s.Database == "replication" && slices.ContainsFunc(w.streams(), func(st stream) bool {
		return st.ready && slices.Contains(w.c.addressesOf(st.standby), addr.Unmap())
	})
}

// feeds tells whether a standby's cluster streams from the cluster that the work is about: it is of the same system, and its primary_conninfo names this host, or
// a session from there is open.
func (w *hbaWork) feeds(standby *Host, c *Cluster) bool {
	if !c.Standby || c.Replication.System != w.c.Replication.System || c.Replication.ConnInfo == "" {
		return false
	}
	if upstream := upstreamOf(standby.Fleet, c); upstream != nil && upstream.Name == w.h.Name {
		return true
	}
	from := w.c.addressesOf(standby)
	return slices.ContainsFunc(w.c.Sessions, func(s Session) bool {
		addr, err := netip.ParseAddr(s.Address)
		return err == nil && s.Database == "replication" && slices.Contains(from, addr.Unmap())
	})
}

// streamsAs tells whether a standby's primary_conninfo logs in as a role.
func (c *Cluster) streamsAs(role string) bool {
	conn, err := postgres.ReadConnInfo(c.Replication.ConnInfo)
	return err == nil && c.Standby && conn.Get("user") == role
}

// streamsWith tells whether what is in force of a standby's primary_conninfo shows the certificate of an identity.
func (c *Cluster) streamsWith(standby *Host, id Identity) bool {
	st, err := stateOf(standby, id)
	conn, readErr := postgres.ReadConnInfo(c.Replication.ConnInfo)
	return err == nil && readErr == nil && conn.Get("user") == id.DBUser && conn.Get("sslmode") == "verify-full" && conn.Get("sslcert") == st.Base+"/"+replicationFile
}

// upstreamOf gives the server of the inventory that a standby's primary_conninfo names, by name or address; nil: none.
func upstreamOf(f *Fleet, c *Cluster) *Host {
	conn, err := postgres.ReadConnInfo(c.Replication.ConnInfo)
	if err != nil {
		return nil
	}
	var named []string
	for _, list := range []string{conn.Get("host"), conn.Get("hostaddr")} {
		named = append(named, strings.FieldsFunc(list, func(r rune) bool { return r == ',' })...)
	}
	for _, name := range sortedKeys(f.Hosts) {
		h := f.Hosts[name]
		if !h.HasRole("db_server") {
			continue
		}
		short, _, _ := strings.Cut(h.Name, ".")
		names := append(serverNames(h, nil), short)
		if slices.ContainsFunc(named, func(n string) bool {
			return slices.ContainsFunc(names, func(own string) bool { return strings.EqualFold(n, own) })
		}) {
			return h
		}
	}
	return nil
}
