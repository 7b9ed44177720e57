package tasks

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

//go:embed postgres_probe.sh
var postgresProbeProgram string

//go:embed postgres_reader.sh
var postgresReaderProgram string

// PostgresProbe finds every PostgreSQL cluster of the host, running or not, with its files, settings and what it serves: one round
// trip, keyed KeyPostgres. What a server has shown since it read its files last, it is not asked for again. Names of clients whose address the inventory does not tell are
// resolved there too.
func PostgresProbe(h *Host) transport.Step { return postgresProbe(h, "noted") }

// postgresProbe is PostgresProbe; with "served" a new TLS connection tells what is served, with "unseen" there is none, for who makes one himself.
func postgresProbe(h *Host, served string) transport.Step {
	whose := "known"
	if len(h.Clusters) > 0 {
		whose = "any"
	}
	return transport.Step{Key: KeyPostgres, Shell: postgresAs + postgresProbeProgram,
		Argv: slices.Concat([]string{postgresReaderProgram, whose, served}, h.View.servers(), namesToResolve(h)), Probe: true, Limit: 2 * time.Minute}
}

// servers gives what postgres_probe.sh takes of the servers that it has told of already: their number and eight words for each. None, unless they were all that
// it found, and all of them can be worked on.
func (v *View) servers() []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if len(v.clusters) == 0 {
		return []string{"0"}
	}
	return v.clusters
}

// remember keeps what servers gives.
func (v *View) remember(found []*Cluster) {
	words := []string{strconv.Itoa(len(found))}
	for _, c := range found {
		uid, gid, ok := strings.Cut(c.OSIDs, ":")
		if !c.Running || c.PID == 0 || c.Start == "" || !ok || c.Stranger || c.Problem != "" {
			words = nil
			break
		}
		words = append(words, strconv.Itoa(c.PID), c.Start, uid, gid, c.OSUser, c.OSGroup, c.BinDir, c.DataDir)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clusters = words
}

// namesToResolve gives the clients of a server that are known by name only.
func namesToResolve(h *Host) []string {
	if h.Fleet == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, client := range h.Fleet.Clients(h.Name) {
		if _, err := netip.ParseAddr(client.Address); err != nil {
			seen[client.Address] = true
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		if !strings.HasPrefix(name, "-") {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// Clusters gives the clusters of a host that are to be worked on: those that the inventory chooses, else all. The error is ErrPending when the
// host was not looked at, or ErrRefused with the reason when one of them cannot be worked on. They are read once for everybody who asks, which every client
// does of every server that it uses: nobody may change them.
func Clusters(h *Host) ([]*Cluster, error) {
	clusters, err := h.View.once(KeyPostgres, func() (any, error) { return readClusters(h) })
	if err != nil {
		return nil, err
	}
	return clusters.([]*Cluster), nil
}

// foundClusters gives what the probe has seen, before anything that is foreseen.
func foundClusters(h *Host) ([]*Cluster, error) {
	result, err := h.View.Get(KeyPostgres)
	if err != nil {
		return nil, err
	}
	if result.Err != nil {
		return nil, fmt.Errorf("look for PostgreSQL on %s: %w", h.Name, result.Err)
	}
	found, err := parseClusters(result.Stdout)
	if err != nil {
		return nil, fmt.Errorf("read what PostgreSQL's probe of %s printed: %w", h.Name, err)
	}
	for _, c := range found {
		c.checkTold(result.Stderr)
	}
	h.View.remember(found)
	return found, nil
}

func readClusters(h *Host) ([]*Cluster, error) {
	found, err := foundClusters(h)
	if err != nil {
		return nil, err
	}
	h.View.Foreseen(KeyPostgres, found)
	chosen, err := chooseClusters(h, found)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		if c.Problem != "" {
			return nil, fmt.Errorf("%w: cluster %s: %s", ErrRefused, c.ID, c.Problem)
		}
	}
	return chosen, nil
}

// chooseClusters keeps those that the inventory names, in its order.
func chooseClusters(h *Host, found []*Cluster) ([]*Cluster, error) {
	known := slices.DeleteFunc(slices.Clone(found), func(c *Cluster) bool { return c.Stranger })
	if len(known) == 0 && len(found) > 0 {
		return nil, fmt.Errorf("%w: the only cluster on %s is that of OS user %s in %s; if pgfleet shall work on it, name it in the inventory (clusters: [%s])",
			ErrRefused, h.Name, found[0].OSUser, found[0].DataDir, found[0].ID)
	}
	found = known
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.ID
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: no PostgreSQL cluster was found on %s: looked at running servers, /etc/postgresql, /var/lib/pgsql, "+
			"/var/lib/postgresql; install PostgreSQL or take the role db_server from this host", ErrRefused, h.Name)
	}
	if len(h.Clusters) == 0 {
		return found, nil
	}
	var out []*Cluster
	for _, id := range h.Clusters {
		i := indexOf(ids, id)
		if i < 0 { // one whose configuration came from an older cluster has that one's name
			i = slices.IndexFunc(found, func(c *Cluster) bool { return clusterID(c, false) == id })
		}
		if i < 0 {
			more := ""
			// It may be one that could not be asked for its version.
			if unread := slices.IndexFunc(found, func(c *Cluster) bool { return c.Major == 0 && c.Problem != "" }); unread >= 0 {
				more = "; " + ids[unread] + ": " + found[unread].Problem
			}
			return nil, fmt.Errorf("%w: cluster %s is not on %s; found: %s%s", ErrRefused, id, h.Name, strings.Join(ids, ", "), more)
		}
		out = append(out, found[i])
	}
	return out, nil
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}
