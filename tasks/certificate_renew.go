package tasks

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// only: renew. What has a certificate of pgfleet's is renewed where it is; what has none is left to the playbook that gives it one.

// errNothingToRenew is the answer to force where there is no certificate.
func errNothingToRenew(h *Host) error {
	return fmt.Errorf("%w: %s has no certificate of pgfleet's that could be renewed: run the playbook that gives it one (pgfleet run mtls)", ErrRefused, h.Name)
}

// renewedClusters leaves out, with only: renew, the clusters whose settings name no certificate of ours.
func (t *certificateTask) renewedClusters(h *Host, clusters []*Cluster) ([]*Cluster, error) {
	if t.Only == "" {
		return clusters, nil
	}
	clusters = slices.DeleteFunc(slices.Clone(clusters), func(c *Cluster) bool { return parseSettings(c.Ours)["ssl_cert_file"] == "" })
	if len(clusters) == 0 && t.Force {
		return nil, errNothingToRenew(h)
	}
	return clusters, nil
}

// inDataDir tells whether the certificate of a cluster has its place in the data directory.
func (t *certificateTask) inDataDir(c *Cluster) bool {
	if t.Only == "" {
		return t.TLSDir == "data"
	}
	return parseSettings(c.Ours)["ssl_cert_file"] == c.DataDir+"/server.crt"
}

// noRenewal refuses, with only: renew or replace, a certificate that some who accept the one in force would not accept: it has fewer names, or leads to another root
// of which nobody knows who believes it.
func (t *certificateTask) noRenewal(h *Host, p *certificatePlan) error {
	leaf := p.Current.leaf()
	if t.Only == "" || p.Why == "" || leaf == nil {
		return nil
	}
	if t.Only == "renew" && !p.by.under(p.Current.Chain) {
		return fmt.Errorf("%w: %s of %s would lead to another root, %s, which nobody may believe yet (%s): the playbook that made the certificate makes it believed first (pgfleet run mtls)",
			ErrRefused, p.Title, h.Name, pki.CertTitle(p.by.chain[len(p.by.chain)-1]), p.Why)
	}
	lost := pki.NamesLost(leaf, p.Template)
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s of %s would lose the names %s, which clients may connect by (%s): give them to %s in the inventory (names), or take them away with the playbook that made the certificate (pgfleet run mtls)",
		ErrRefused, p.Title, h.Name, strings.Join(lost, ", "), p.Why, h.Name)
}

// under tells whether a chain, leaf first, leads to an authority of this one.
func (i *issuing) under(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
		return slices.ContainsFunc(i.chain, func(ca *x509.Certificate) bool { return c.CheckSignatureFrom(ca) == nil })
	})
}

// renewedIdentities leaves out, with only: renew, the identities whose services name no certificate.
func (t *certificateTask) renewedIdentities(h *Host, states []*identityState) ([]*identityState, error) {
	if t.Only == "" {
		return states, nil
	}
	states = slices.DeleteFunc(slices.Clone(states), func(st *identityState) bool { return st.filesNow().Cert == "" })
	if len(states) == 0 && t.Force {
		return nil, errNothingToRenew(h)
	}
	return states, nil
}

// inHome tells whether the certificate of an identity has its place in ~/.postgresql.
func (t *certificateTask) inHome(st *identityState) bool {
	if t.Only == "" {
		return t.TLSDir == "home"
	}
	return st.filesNow().Cert == st.Home+"/.postgresql/client.crt"
}
