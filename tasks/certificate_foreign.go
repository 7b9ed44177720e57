package tasks

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// inTheWay refuses a certificate that is not ours: one in force, or one in the place of a copy. kept: the cluster is to keep its own.
func (t *certificateTask) inTheWay(h *Host, c *Cluster, l *look, by []*issuing) (kept bool, err error) {
	if foreign := t.foreign(c, by); foreign != "" {
		switch t.Existing {
		case "keep":
			if err := c.keepable(); err != nil {
				return false, fmt.Errorf("%w: cluster %s of %s is to keep its own certificate, and could not start or go on with it: %w; or say existing: replace", ErrRefused, c.ID, h.Name, err)
			}
			return true, nil
		case "stop":
			stay := "its files stay where they are"
			if path.Dir(foreign) == c.DataDir && t.inDataDir(c) {
				stay = "they are kept as server.crt.before-pgfleet and server.key.before-pgfleet"
			}
			return false, fmt.Errorf("%w: cluster %s of %s uses the certificate %s, which is not pgfleet's: say existing: replace (%s) or existing: keep (mtls: -e existing_certificate=replace)",
				ErrRefused, c.ID, h.Name, foreign, stay)
		}
	}
	if file := c.DataDir + "/server.crt"; t.inDataDir(c) && t.copyMode(c, l) == "refuse" {
		if _, ok := c.beside(file); ok {
			return false, fmt.Errorf("%w: %s on %s is not pgfleet's: move it and its key away, or say existing: replace (they are kept as server.crt.before-pgfleet and server.key.before-pgfleet)",
				ErrRefused, file, h.Name)
		}
	}
	return false, nil
}

// copyMode says what certificate_copy.sh may do with files that are in the data directory: ours, copy, refuse.
func (t *certificateTask) copyMode(c *Cluster, l *look) string {
	file := c.DataDir + "/server.crt"
	f, _ := c.beside(file)
	switch {
	case parseSettings(c.Ours)["ssl_cert_file"] == file, versionWith(l.versionsIn(c.Dir+"/v", "server"), f.Bytes) != nil:
		return "ours"
	case t.Existing == "replace" || t.Existing == "overlap":
		return "copy"
	}
	return "refuse"
}

// foreign gives the path of a certificate in force that is not ours, "" when there is none, or when it has been decided before to replace it. Debian's
// self-made snakeoil counts as none.
func (t *certificateTask) foreign(c *Cluster, by []*issuing) string {
	if c.Settings["ssl"].Value != "on" {
		return ""
	}
	p := c.path(c.Settings["ssl_cert_file"].Value)
	if p == "" || parseSettings(c.Ours)["ssl_cert_file"] != "" || strings.HasPrefix(p, c.Dir+"/") || path.Base(p) == "ssl-cert-snakeoil.pem" {
		return ""
	}
	if certs, err := pki.ParseCertificates(c.Files[p].Bytes); err == nil && slices.ContainsFunc(by, func(i *issuing) bool { return certs[0].CheckSignatureFrom(i.chain[0]) == nil }) {
		return ""
	}
	return p
}
