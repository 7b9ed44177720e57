package tasks

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// Who needs an authority that has a successor: whoever has a certificate of it in force, and sessions that were opened with one.

// dependents names those of the whole fleet who need one of the authorities as holders of certificates of a profile, and those of whom that is not known. Once nobody did in
// this run, only the host's own sessions are looked at: somebody may have come back with a certificate that he keeps in memory.
func (h *Host) dependents(profile pki.Profile, gone []*x509.Certificate) (out []string) {
	none := "nobody needs"
	for _, ca := range gone {
		none += " " + pki.Fingerprint(ca)
	}
	p, servers := h.Fleet.Proofs, []string{h.Name}
	if p == nil || !p.Has("", "", none) {
		out, servers = h.Fleet.holders(profile, gone), sortedKeys(h.Fleet.Hosts)
	}
	if profile == pki.ProfileClient {
		out = append(out, h.Fleet.openedWith(servers, gone)...)
	}
	if len(out) == 0 && p != nil {
		p.Add("", "", none)
	}
	return out
}

// holders names who has a certificate in force that one of the authorities has signed.
func (f *Fleet) holders(profile pki.Profile, by []*x509.Certificate) (out []string) {
	for _, name := range sortedKeys(f.Hosts) {
		h := f.Hosts[name]
		var found []string
		var err error
		if profile == pki.ProfileServer {
			found, err = h.serversUnder(by)
		} else {
			found, err = h.identitiesUnder(by)
		}
		if err != nil {
			out = append(out, fmt.Sprintf("%s (%s)", name, notSeen(err)))
		} else if len(found) > 0 {
			out = append(out, fmt.Sprintf("%s (%s has a certificate of it)", name, inShort(found, 2, ", ")))
		}
	}
	return out
}

// signedBy tells whether one of some certificates was signed by one of the authorities.
func signedBy(certs, by []*x509.Certificate) bool {
	return slices.ContainsFunc(certs, func(c *x509.Certificate) bool {
		return slices.ContainsFunc(by, func(ca *x509.Certificate) bool {
			return string(c.RawIssuer) == string(ca.RawSubject) && c.CheckSignatureFrom(ca) == nil
		})
	})
}

// identitiesUnder gives a client's identities whose certificate, or whose copy under libpq's default names, is of one of the authorities.
func (h *Host) identitiesUnder(by []*x509.Certificate) (out []string, err error) {
	if !h.HasRole("client") {
		return nil, nil
	}
	if stopped := h.stoppedStandby(); stopped != "" {
		return nil, fmt.Errorf("cluster %s is not running: if it is a standby, which certificate it streams with is not known; start it, or take the host out of the inventory", stopped)
	}
	for _, id := range h.Identities {
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		certs := st.entry(st.filesNow().Cert).certificates()
		if id.Default {
			certs = append(slices.Clone(certs), st.entry(st.Home+"/.postgresql/postgresql.crt").certificates()...)
		}
		if signedBy(certs, by) || signedBy(st.streamsWith(h), by) {
			out = append(out, id.DBUser+" of "+id.OSUser)
		}
	}
	return out, nil
}

// streamsWith gives the certificate of a version that primary_conninfo of a standby on the host names, which need not be the one in force.
func (st *identityState) streamsWith(h *Host) (out []*x509.Certificate) {
	for _, c := range standbys(h) {
		conn, err := postgres.ReadConnInfo(orText(c.Replication.Written, c.Replication.ConnInfo))
		if v := versionNamed(st.Versions, conn.Get("sslcert")); err == nil && v != nil {
			out = append(out, v.Chain...)
		}
	}
	return out
}

// serversUnder gives a server's clusters whose certificate in the file, or as served, is of one of the authorities.
func (h *Host) serversUnder(by []*x509.Certificate) (out []string, err error) {
	if !h.HasRole("db_server") {
		return nil, nil
	}
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		var certs []*x509.Certificate
		for _, der := range append(certificatesDER(c.Files[c.upcomingPath("ssl_cert_file")].Bytes), c.Served...) {
			if cert, err := x509.ParseCertificate(der); err == nil {
				certs = append(certs, cert)
			}
		}
		if c.upcomingTLS() && signedBy(certs, by) {
			out = append(out, "cluster "+c.ID)
		}
	}
	return out, nil
}

// openedWith names the sessions on servers that were opened with certificates of one of the authorities.
func (f *Fleet) openedWith(servers []string, by []*x509.Certificate) (out []string) {
	for _, name := range servers {
		h := f.Hosts[name]
		if !h.HasRole("db_server") {
			continue
		}
		clusters, err := Clusters(h)
		if err != nil {
			out = append(out, fmt.Sprintf("%s (%s)", name, notSeen(err)))
			continue
		}
		var who []string
		for _, c := range clusters {
			for _, s := range f.sessionsOf(c, by) {
				if text := s.User + " from " + s.Address; !slices.Contains(who, text) {
					who = append(who, text)
				}
			}
		}
		if len(who) > 0 {
			out = append(out, fmt.Sprintf("%s (open sessions that began with a certificate of it: %s; an application that keeps its certificate in memory has to be restarted, others end by themselves, or are ended with terminate)",
				name, inShort(who, 3, ", ")))
		}
	}
	return out
}

// sessionsOf gives a cluster's sessions that were opened with certificates of one of the authorities. PostgreSQL cuts the names of issuers, so that two may look alike:
// a session with the serial number of a certificate that is in force, and not of them, is none of these.
func (f *Fleet) sessionsOf(c *Cluster, by []*x509.Certificate) (out []Session) {
	var others []string
	for _, s := range c.Sessions {
		if s.Issuer == "" || !slices.ContainsFunc(by, func(ca *x509.Certificate) bool { return postgres.IsName(s.Issuer, ca.RawSubject) }) {
			continue
		}
		if others == nil {
			others = append(f.serialsBeside(by), "")
		}
		if !slices.Contains(others, s.Serial) {
			out = append(out, s)
		}
	}
	return out
}

// serialsBeside are the serial numbers of clients' certificates in force, in decimal digits, that none of the authorities has signed.
func (f *Fleet) serialsBeside(by []*x509.Certificate) (out []string) {
	for _, h := range f.Hosts {
		for _, id := range h.Identities {
			st, err := stateOf(h, id)
			if err != nil {
				continue
			}
			if certs := st.entry(st.filesNow().Cert).certificates(); len(certs) > 0 && !signedBy(certs, by) {
				out = append(out, certs[0].SerialNumber.String())
			}
		}
	}
	return out
}
