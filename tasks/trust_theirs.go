package tasks

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Authorities of others that a server believes beside ours (existing: overlap) have their lists in a file of others, which goes on to be renewed there.

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
