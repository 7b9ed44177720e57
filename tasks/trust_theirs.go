package tasks

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Authorities of others that a server believes: what becomes of them, and their lists, which others go on to renew in a file of their own.

// theirListFile is the file of lists that the configuration names beside our settings, which override it; "": none.
func (c *Cluster) theirListFile() string {
	for _, l := range slices.Backward(c.Lines) {
		if l.Name == "ssl_crl_file" && l.Value != "" && l.File != c.Dir+"/"+settingsFile {
			return c.path(l.Value)
		}
	}
	return ""
}

// withTheirLists gives lists in force and, behind them, those that others keep now and that are valid: what their authority has revoked since counts, too.
func (c *Cluster) withTheirLists(inForce []byte) []byte {
	theirs, err := pki.ParseCRLs(c.Files[c.theirListFile()].Bytes)
	soon := c.Now.Add(time.Minute) // no list is brought that ends before
	theirs = slices.DeleteFunc(theirs, func(l *x509.RevocationList) bool {
		return l.ThisUpdate.After(c.Now) || !l.NextUpdate.IsZero() && l.NextUpdate.Before(soon)
	})
	if err != nil || len(theirs) == 0 {
		return inForce
	}
	return slices.Concat(inForce, []byte("\n"), pki.CRLPEM(theirs...))
}

// bringTheirs says where a newer list of an authority of others is to be brought.
func (c *Cluster) bringTheirs() string {
	if file := c.theirListFile(); file != "" {
		return "bring its newest list to " + file
	}
	return "have ssl_crl_file in postgresql.conf name a file with its newest list"
}

// stranger tells whether a CA is none of the inventory's, as far as all of those could be seen.
func (h *Host) stranger(ca *x509.Certificate) bool {
	for name := range h.Fleet.Authorities {
		if _, err := h.Fleet.CA.Certificate(name); err != nil {
			return false
		}
	}
	return h.keeperOf(ca) == ""
}

// signsElsewhere tells whether a CA is a stranger, or one of the inventory's that signs elsewhere: pgfleet can make no list of it.
func (h *Host) signsElsewhere(ca *x509.Certificate) bool {
	return h.stranger(ca) || h.Fleet.Authorities[h.keeperOf(ca)].Foreign()
}

// believedBy gives the authorities in force of a cluster with their lists. leave: they are not ours and are to stay alone.
func (t *trustTask) believedBy(h *Host, c *Cluster, l *look) (now believed, leave bool, err error) {
	set := parseSettings(c.Ours)
	roots, lists := set["ssl_ca_file"], set["ssl_crl_file"]
	inForce := c.foreignTrust()
	if inForce == "" {
		return believed{c.named(l, roots, "trust-"), c.named(l, lists, "crl-")}, false, nil
	}
	switch t.Existing {
	case "keep":
		if err := c.keepableTrust(); err != nil {
			return now, false, fmt.Errorf("%w: cluster %s of %s is to keep its own authorities: %w; or say existing: replace", ErrRefused, c.ID, h.Name, err)
		}
		return now, true, nil
	case "stop":
		return now, false, fmt.Errorf("%w: cluster %s of %s believes the authorities in %s, which is not pgfleet's: say existing: overlap (both), replace (ours alone) or keep (mtls: -e existing_trust=overlap)",
			ErrRefused, c.ID, h.Name, inForce)
	}
	if t.Existing == "overlap" {
		if err := c.trustProblem(); err != nil {
			return now, false, fmt.Errorf("%w: cluster %s of %s is to go on believing its own authorities: %w; repair it, or say existing: replace", ErrRefused, c.ID, h.Name, err)
		}
	}
	return believed{c.Files[inForce].Bytes, c.Files[c.path(c.Settings["ssl_crl_file"].Value)].Bytes}, false, nil
}

// refuseKeep refuses to have a server believe others' authorities alone that lack one of those wanted, when clients of the inventory use it: they would show certificates that it refuses.
func (a *anchors) refuseKeep(h *Host, c *Cluster) error {
	theirs, err := pki.ParseCertificates(c.Files[c.foreignTrust()].Bytes)
	if err != nil {
		return nil // keepableTrust says it
	}
	for _, cert := range a.certs {
		if slices.ContainsFunc(theirs, func(their *x509.Certificate) bool { return pki.SameKey(their.PublicKey, cert.PublicKey) }) {
			continue
		}
		for _, name := range sortedKeys(h.Fleet.Hosts) {
			if slices.Contains(h.Fleet.Hosts[name].Servers, h.Name) {
				return fmt.Errorf("%w: cluster %s of %s is to keep the authorities in %s alone, and %s is not among them: it would refuse the certificates of its clients (%s); say existing: overlap (mtls: -e existing_trust=overlap), "+
					"or have the authority in that file sign for clients (external in the inventory)", ErrRefused, c.ID, h.Name, c.foreignTrust(), pki.CertTitle(cert), name)
			}
		}
	}
	return nil
}

// refuseTheirPlace refuses to have our lists where others go on to write theirs: with their next one nobody below our authorities would be let in.
func (t *trustTask) refuseTheirPlace(h *Host, c *Cluster) error {
	file := c.DataDir + "/" + listBeside(t.copyName())
	if c.theirListFile() != file {
		return nil
	}
	return fmt.Errorf("%w: cluster %s of %s is to have its lists in %s, where others keep theirs (ssl_crl_file in postgresql.conf names it): once they write a newer one there, every client of pgfleet's is refused; "+
		"have them write another file and name that, or say another name with file, or tls_dir: own (mtls: -e server_places=own)", ErrRefused, c.ID, h.Name, file)
}

// foreignTrust is the file of the authorities that a cluster believes, where it is not pgfleet's; "": it is, or nobody is believed.
func (c *Cluster) foreignTrust() string {
	inForce := c.path(c.Settings["ssl_ca_file"].Value)
	if parseSettings(c.Ours)["ssl_ca_file"] != "" || strings.HasPrefix(inForce, c.Dir+"/") {
		return ""
	}
	return inForce
}

// overlap adds the authorities in force and their lists to ours.
func (a *anchors) overlap(c *Cluster, rootsNow, listsNow []byte) ([]*x509.Certificate, []*x509.RevocationList, error) {
	certs, crls := slices.Clone(a.certs), slices.Clone(a.lists)
	if len(rootsNow) == 0 {
		return certs, crls, nil
	}
	theirs, err := pki.ParseCertificates(rootsNow)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the authorities in force of cluster %s cannot be read: %w", ErrRefused, c.ID, err)
	}
	for _, cert := range theirs {
		if containsCert(certs, cert) || containsCert(a.gone, cert) {
			continue
		}
		certs = append(certs, cert)
		if len(a.lists) == 0 {
			continue
		}
		list := listOf(listsNow, cert)
		if list == nil {
			return nil, nil, fmt.Errorf("%w: cluster %s believes authority %s, of which no list of revoked certificates is in force; with lists everybody below it would be locked out: say crl: no, or existing: replace",
				ErrRefused, c.ID, pki.CertTitle(cert))
		}
		if end := list.NextUpdate; !end.IsZero() && end.Before(c.Now) {
			return nil, nil, fmt.Errorf("%w: cluster %s believes authority %s, whose list of revoked certificates ended on %s: everybody below it is refused; %s, or say existing: replace",
				ErrRefused, c.ID, pki.CertTitle(cert), end.UTC().Format("2006-01-02"), c.bringTheirs())
		}
		crls = append(crls, list)
	}
	return certs, crls, nil
}
