package tasks

import (
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// A rollback by hand must not bring back a server's certificate that clients refuse, because its authority was replaced since.

// BelieversProbes see whom the identities of a client believe.
func BelieversProbes(h *Host) []transport.Step { return identityProbes(h) }

// RollbackProbes see what RollbackSteps wants to know of the host itself.
func RollbackProbes(h *Host) []transport.Step {
	return []transport.Step{PostgresProbe(h), CopiesProbe(), serverProbe()}
}

// refusedFiles are the files of a cluster's certificates, one a line, that are of another authority than the one in force is of, and that clients do not accept: one that the
// inventory does not have any more, or that one of the clients seen does not believe. What cannot be seen keeps nobody from going back.
func (c *Cluster) refusedFiles(h *Host, clusters []*Cluster) string {
	l, err := serverLook(h, clusters)
	if err != nil {
		return ""
	}
	versions := l.versionsIn(c.Dir+"/v", "server")
	now := versionNamed(versions, parseSettings(c.Ours)["ssl_cert_file"]).leaf()
	if now == nil {
		return ""
	}
	var out strings.Builder
	for _, v := range versions {
		leaf := v.leaf()
		if leaf == nil || string(leaf.RawIssuer) == string(now.RawIssuer) {
			continue
		}
		if h.refusedByClients(&v) {
			out.WriteString(v.Crt.Path + "\n")
		}
	}
	return out.String()
}

// refusedByClients tells whether clients are known not to accept a certificate of the server: they do not believe its authority, or the inventory does not have it any more. Where
// an authority of the inventory cannot be seen, the latter is not known.
func (h *Host) refusedByClients(v *version) bool {
	unseen := false
	for _, name := range sortedKeys(h.Fleet.Authorities) {
		chain, err := h.Fleet.CA.Chain(name)
		if err != nil || len(chain) == 0 {
			unseen = true
		} else if signedBy(v.Chain[:1], chain[:1]) {
			return len(h.unbelieving(pki.ProfileServer, name, chain, true)) > 0
		}
	}
	return !unseen
}
