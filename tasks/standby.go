package tasks

import (
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// StandbyDepth tells how far a host's clusters are from their primary, as the look found them: 0 for a primary, and for a host that was not looked at, 1 for a standby, 2
// for a standby of a standby that is known here, and so on; the most of all its clusters.
func StandbyDepth(h *Host) int {
	depth := 0
	for _, c := range standbys(h) {
		depth = max(depth, 1+above(h, c, []string{h.Name}))
	}
	return depth
}

// above counts the standbys between a standby and its primary.
func above(h *Host, c *Cluster, seen []string) int {
	up := upstreamOf(h.Fleet, c)
	if up == nil || slices.Contains(seen, up.Name) {
		return 0
	}
	for _, o := range standbys(up) {
		if o.Replication.System == c.Replication.System {
			return 1 + above(up, o, append(seen, up.Name))
		}
	}
	return 0
}

// standbys are a host's clusters in recovery; none where it was not looked at.
func standbys(h *Host) []*Cluster {
	clusters, err := Clusters(h)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(clusters), func(c *Cluster) bool { return !c.Running || !c.Standby })
}

// StrayStandbys gives one line for each standby of a host that replicates from a server which the inventory does not have.
func StrayStandbys(h *Host) []string {
	var out []string
	for _, c := range standbys(h) {
		if conn, err := postgres.ReadConnInfo(c.Replication.ConnInfo); err == nil && len(conn) > 0 && upstreamOf(h.Fleet, c) == nil && !primaryKnown(h.Fleet, c) {
			out = append(out, fmt.Sprintf("cluster %s of %s is a standby of %s, which is not in the inventory: nothing is done there (roles, rules, certificates)", c.ID, h.Name,
				orText(orText(conn.Get("host"), conn.Get("hostaddr")), "a local server")))
		}
	}
	return out
}

// primaryKnown tells whether a cluster of the same system that is no standby was seen on some host.
func primaryKnown(f *Fleet, c *Cluster) bool {
	for _, h := range f.Hosts {
		if !h.HasRole("db_server") {
			continue
		}
		clusters, err := Clusters(h)
		if err == nil && slices.ContainsFunc(clusters, func(o *Cluster) bool { return o.Running && !o.Standby && o.Replication.System == c.Replication.System }) {
			return true
		}
	}
	return false
}
