package tasks

import (
	"crypto/x509"
	"math/big"
	"net/netip"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// Whether a session that began with a certificate of an authority which is replaced would come back with it.

// refusedNow tells whether a cluster's list in force names the certificate that a session began with: nobody comes back with it.
func (c *Cluster) refusedNow(s Session, by []*x509.Certificate) bool {
	serial, ok := new(big.Int).SetString(s.Serial, 10)
	if !ok {
		return false
	}
	for _, list := range revocationLists(c.Files[c.upcomingPath("ssl_crl_file")].Bytes) {
		if pki.Lists(list, serial) && slices.ContainsFunc(by, func(ca *x509.Certificate) bool {
			return pki.BelongsTo(list, ca) == nil && postgres.IsName(s.Issuer, ca.RawSubject)
		}) {
			return true
		}
	}
	return false
}

// isStreamOf tells whether a session of a cluster is the stream of a standby on a host.
func (c *Cluster) isStreamOf(s Session, h *Host, standby *Cluster) bool {
	conn, err := postgres.ReadConnInfo(standby.Replication.ConnInfo)
	if err != nil || standby.Replication.System != c.Replication.System || conn.Get("user") != s.User {
		return false
	}
	addr, err := netip.ParseAddr(s.Address)
	return err == nil && slices.Contains(c.addressesOf(h), addr.Unmap().WithZone(""))
}

// standbyOf gives the standby, and its host, whose stream a session of a cluster is; nil: none that is known here.
func (f *Fleet) standbyOf(c *Cluster, s Session) (*Host, *Cluster) {
	for _, name := range sortedKeys(f.Hosts) {
		h := f.Hosts[name]
		if !h.HasRole("db_server") {
			continue
		}
		for _, standby := range standbys(h) {
			if c.isStreamOf(s, h, standby) {
				return h, standby
			}
		}
	}
	return nil, nil
}

// showsAnother gives the file of the certificate with which a standby streams, where it is not the one that pgfleet replaces: a stream that is ended comes back with it.
func (h *Host) showsAnother(c *Cluster) (file string, is bool) {
	conn, err := postgres.ReadConnInfo(c.Replication.ConnInfo)
	if err != nil {
		return "", false
	}
	for _, id := range h.Identities {
		if st, err := stateOf(h, id); err == nil && id.Replication && conn.Get("sslcert") == st.Base+"/"+replicationFile {
			return "", false
		}
	}
	return orText(conn.Get("sslcert"), "libpq's default file"), true
}

// streamsAsBefore tells whether the stream of a standby began with a certificate of another authority than the one in force is of, as the server that it comes from sees it.
func (h *Host) streamsAsBefore(standby *Cluster, st *identityState) bool {
	leaf := st.Current.leaf()
	if leaf == nil {
		return false
	}
	for _, other := range h.Fleet.Hosts {
		if !other.HasRole("db_server") {
			continue
		}
		clusters, err := Clusters(other)
		if err != nil {
			continue
		}
		for _, c := range clusters {
			if slices.ContainsFunc(c.Sessions, func(s Session) bool {
				return s.Issuer != "" && !postgres.IsName(s.Issuer, leaf.RawIssuer) && c.isStreamOf(s, h, standby)
			}) {
				return true
			}
		}
	}
	return false
}

// stoppedStandby names a cluster that is not running, of the OS user of a certificate for replication: it may be a standby, and nobody can tell which certificate it will show.
func (h *Host) stoppedStandby() string {
	clusters, err := Clusters(h)
	if err != nil {
		return "" // told elsewhere
	}
	for _, c := range clusters {
		if !c.Running && slices.ContainsFunc(h.Identities, func(id Identity) bool { return id.Replication && id.OSUser == c.OSUser }) {
			return c.ID
		}
	}
	return ""
}
