package tasks

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed trust_readable.sh
var trustReadableProgram string

//go:embed trust_folder.sh
var trustFolderProgram string

//go:embed trust_prune.sh
var trustPruneProgram string

// serverTrust is one cluster whose trust is not as wanted.
type serverTrust struct {
	c          *Cluster
	certs      []*x509.Certificate
	roots      []byte
	lists      []byte
	set        map[string]string
	oldSet     map[string]string
	repair     []string
	writeFiles bool
}

// checkServer finds the clusters of a server that do not believe what they shall.
func (t *trustTask) checkServer(h *Host, a *anchors) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	l, err := serverLook(h, clusters)
	if err != nil {
		return nil, err
	}
	var work []*serverTrust
	for _, c := range clusters {
		w, err := t.serverTrust(h, c, l, a)
		if err != nil {
			return nil, err
		}
		if w != nil && len(w.repair) > 0 {
			if err := overridden(c, w.set); err != nil {
				return nil, fmt.Errorf("%s: %w", h.Name, err)
			}
			work = append(work, w)
		}
	}
	if len(work) == 0 {
		return nil, nil
	}
	return t.serverChange(h, work), nil
}

// serverTrust compares one cluster with what is wanted; nil: it is left alone.
func (t *trustTask) serverTrust(h *Host, c *Cluster, l *look, a *anchors) (*serverTrust, error) {
	set := parseSettings(c.Ours)
	roots, lists := set["ssl_ca_file"], set["ssl_crl_file"]
	if t.Only != "" && roots != trustFile(c, pki.CertificatePEM(a.certs...)) {
		return nil, nil
	}
	rootsNow, listsNow := l.entry(roots).PEM, l.entry(lists).PEM
	if inForce := c.path(c.Settings["ssl_ca_file"].Value); inForce != "" && roots == "" && !strings.HasPrefix(inForce, c.Dir+"/") {
		switch t.Existing {
		case "keep":
			return nil, nil
		case "stop":
			return nil, fmt.Errorf("%w: cluster %s of %s believes the authorities in %s, which is not pgfleet's: say existing: overlap (both), replace (ours alone) or keep",
				ErrRefused, c.ID, h.Name, inForce)
		}
		rootsNow, listsNow = c.Files[inForce].Bytes, c.Files[c.path(c.Settings["ssl_crl_file"].Value)].Bytes
	}
	if err := a.notLower(listsNow); err != nil {
		return nil, err
	}
	if err := t.refuseDrop(h, "cluster "+c.ID, rootsNow, a); err != nil {
		return nil, err
	}
	certs, crls := a.certs, a.lists
	if t.both() {
		var err error
		if certs, crls, err = a.overlap(c, rootsNow, listsNow); err != nil {
			return nil, err
		}
	}
	w := &serverTrust{c: c, certs: certs, roots: pki.CertificatePEM(certs...), oldSet: set, set: map[string]string{}}
	w.set["ssl_ca_file"] = trustFile(c, w.roots)
	if len(crls) > 0 {
		w.lists = pki.CRLPEM(crls...)
		w.set["ssl_crl_file"] = c.Dir + "/crl-" + contentName(w.lists) + ".pem"
	} else if set["ssl_crl_file"] != "" || c.Settings["ssl_crl_file"].Value != "" {
		w.set["ssl_crl_file"] = ""
	}
	w.compare(l)
	return w, nil
}

// trustFile names a file of authorities by its content.
func trustFile(c *Cluster, roots []byte) string {
	return c.Dir + "/trust-" + contentName(roots) + ".pem"
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
		if containsCert(certs, cert) {
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
		crls = append(crls, list)
	}
	return certs, crls, nil
}

// contentName is a short name for bytes: 16 hex digits of their SHA-256.
func contentName(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// compare fills what is not as wanted.
func (w *serverTrust) compare(l *look) {
	for _, name := range []string{"ssl_ca_file", "ssl_crl_file"} {
		value, ok := w.set[name]
		if !ok {
			continue
		}
		if w.oldSet[name] != value {
			w.repair = append(w.repair, fmt.Sprintf("%s = '%s'", name, value))
		}
		want := w.roots
		if name == "ssl_crl_file" {
			want = w.lists
		}
		if e := l.entry(value); value != "" && (e.Kind != "file" || string(e.PEM) != string(want) || e.UID != 0 || e.Mode != 0o644) {
			w.writeFiles = true
			w.repair = append(w.repair, value)
		}
	}
}

// serverChange puts the files of all clusters in place in one round trip.
func (t *trustTask) serverChange(h *Host, work []*serverTrust) *Change {
	c := &Change{Touches: []string{KeyPostgres, keyServer}}
	var titles []string
	for _, w := range work {
		titles = append(titles, "cluster "+w.c.ID)
		c.Diff += "cluster " + w.c.ID + ": " + strings.Join(w.repair, ", ") + "\n"
		for _, cert := range w.certs {
			c.Diff += "  " + trustLine(cert)
		}
	}
	c.Summary = "let " + strings.Join(titles, ", ") + " believe clients of " + strings.Join(t.Authorities, ", ")
	c.Apply = func(context.Context, Doer) ([]transport.Step, error) {
		var steps []transport.Step
		for _, w := range work {
			steps = append(steps, w.closing(h)...)
		}
		return steps, nil
	}
	c.Foresee = func(v *View) {
		v.Foresee(keyServer, nil)
		for _, w := range work {
			v.foreseeCluster(w.c, func(seen *Cluster) {
				seen.foreseeSettings(h.Fleet.Run, w.set)
				seen.foreseeFile(w.set["ssl_ca_file"], 0o644, w.roots)
				if w.lists != nil {
					seen.foreseeFile(w.set["ssl_crl_file"], 0o644, w.lists)
				}
			})
		}
	}
	return c
}

// closing writes the files under names of their own, reads them as the server's OS user, and switches both with one rename.
func (w *serverTrust) closing(h *Host) []transport.Step {
	roots, lists := w.set["ssl_ca_file"], w.set["ssl_crl_file"]
	steps := []transport.Step{{Key: "folder of cluster " + w.c.ID, Shell: certificateCheckProgram + trustFolderProgram,
		Argv: []string{"/etc", strings.TrimPrefix(w.c.Dir, "/etc/")}}}
	if lists != "" {
		steps = append(steps, writeStep("", lists, 0o644, w.lists))
	}
	steps = append(steps, writeStep("", roots, 0o644, w.roots),
		transport.Step{Key: "read as " + w.c.OSUser, User: w.c.OSUser, Shell: certificateCheckProgram + trustReadableProgram, Argv: []string{roots, lists}})
	for name, value := range w.set {
		if w.oldSet[name] != value {
			steps = append(steps, settingsSteps(h, w.c, w.set)...)
			break
		}
	}
	return append(steps, transport.Step{Key: "prune trust of cluster " + w.c.ID, Shell: trustPruneProgram,
		Argv: []string{w.c.Dir, roots, lists, w.oldSet["ssl_ca_file"], w.oldSet["ssl_crl_file"]}})
}
