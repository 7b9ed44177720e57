package tasks

import (
	"bytes"
	"crypto/x509"
	"path"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// only: renew. An authority's own certificate was renewed, with its key and its name: whoever believes it gets the new one, in the file where the old one is.

// what names the authorities in a summary.
func (t *trustTask) what(h *Host) string {
	names, more := t.Authorities, ""
	switch t.Only {
	case "renew":
		more = " by renewed certificates"
	case "add", "drop":
		names, more = nil, map[string]string{"add": " too", "drop": " no more"}[t.Only]
		for _, name := range t.Authorities {
			gens := h.Fleet.Generations(name)
			if last := len(gens) - 1; t.Only == "add" {
				names = append(names, gens[last])
			} else {
				names = append(names, gens[:last]...)
			}
		}
	}
	return strings.Join(names, ", ") + more
}

// renewed tells whether certificates in force are of the very authorities that are wanted, but not all of them the newest.
func (a *anchors) renewed(now []*x509.Certificate) bool {
	if len(now) != len(a.certs) || bytes.Equal(pki.CertificatePEM(now...), pki.CertificatePEM(a.certs...)) {
		return false
	}
	for i, cert := range a.certs {
		if !bytes.Equal(cert.RawSubject, now[i].RawSubject) || !pki.SameKey(cert.PublicKey, now[i].PublicKey) {
			return false
		}
	}
	return true
}

// renewedOn gives the task as it is for a cluster, nil when nothing that it believes was renewed.
func (t *trustTask) renewedOn(c *Cluster, l *look, a *anchors) *trustTask {
	file := parseSettings(c.Ours)["ssl_ca_file"]
	now, err := pki.ParseCertificates(c.named(l, file, "trust-"))
	if err != nil || !a.renewed(now) {
		return nil
	}
	own := *t
	if path.Dir(file) == c.DataDir {
		own.TLSDir, own.File = "data", path.Base(file)
	}
	return &own
}

// renewedFor gives the task and the authorities as they are for an identity, nil when nothing that it believes was renewed. It has lists if it had some.
func (t *trustTask) renewedFor(h *Host, st *identityState, a *anchors) (*trustTask, *anchors, error) {
	files := st.filesNow()
	if !a.renewed(st.entry(files.Root).certificates()) {
		return nil, nil, nil
	}
	own := *t
	if path.Dir(files.Root) == st.Home+"/.postgresql" {
		own.TLSDir, own.File = "home", path.Base(files.Root)
	}
	if files.CRL == "" {
		return &own, a, nil
	}
	own.CRL = "yes"
	with, err := own.anchorsFor(h, st.entry(files.Root).certificates())
	return &own, with, err
}
