package tasks

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"fmt"
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

// trustSettings are the two settings of a task of kind trust.
var trustSettings = []string{"ssl_ca_file", "ssl_crl_file"}

// serverTrust is one cluster whose trust is not as wanted.
type serverTrust struct {
	c     *Cluster
	certs []*x509.Certificate
	// roots and lists are the wanted files; lists nil: none. union holds lists that stay until the old authorities are gone, nil when not needed.
	roots, lists, union []byte
	// masters are our own files, named by their content; set is what the settings shall name: them, or copies of them.
	masters, set, oldSet map[string]string
	// copies: the settings name copies in the data directory. differ: one of those is not as wanted. foreign: settings whose copy takes the place of others' file.
	copies, differ bool
	foreign        map[string]bool
	repair         []string
	// folder: pgfleet's folder of the cluster is there. surplus: there are files in it that nobody needs any more.
	folder, surplus bool
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
			if err := refusedSettings(c, w.set); err != nil {
				return nil, fmt.Errorf("%s: %w", h.Name, err)
			}
			if err := c.refuseBroken(); err != nil && t.inPlace() { // otherwise key and certificate are put right next
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
	if t.follows(h) {
		own, with, err := t.generationsOn(h, c, l)
		if own == nil || err != nil {
			return nil, err
		}
		t, a = own, with
	}
	stay := t.Existing == "overlap"
	switch t.Only {
	case "repair":
		if own := t.renewedOn(c, l, a); own != nil {
			t = own
		} else if !t.believesAlready(c, l, a) {
			return nil, nil
		}
	case "renew":
		if t = t.renewedOn(c, l, a); t == nil {
			return nil, nil
		}
	case "beside":
		if c.foreignTrust() == "" {
			return nil, nil
		}
		if t.Existing == "replace" {
			both := *t
			both.Existing, t = "overlap", &both
		}
	}
	now, leave, err := t.believedBy(h, c, l)
	if leave && t.Only == "beside" {
		return nil, a.refuseKeep(h, c)
	}
	if leave || err != nil {
		return nil, err
	}
	for _, lists := range append(t.listsLeft(c, l), now.lists) {
		if err := a.mayFollow(h, lists); err != nil {
			return nil, err
		}
	}
	if err := t.refuseDrop(h, "cluster "+c.ID, now.roots, a); err != nil {
		return nil, err
	}
	certs, crls := a.certs, a.lists
	if t.both() {
		if certs, crls, err = a.overlap(c, now.roots, c.withTheirLists(now.lists)); err != nil {
			return nil, err
		}
	}
	w := &serverTrust{c: c, certs: certs, roots: pki.CertificatePEM(certs...), oldSet: parseSettings(c.Ours), copies: t.TLSDir == "data"}
	w.masters = map[string]string{"ssl_ca_file": trustFile(c, w.roots)}
	if len(crls) > 0 {
		w.lists = pki.CRLPEM(crls...)
		w.masters["ssl_crl_file"] = listsFile(c, w.lists)
	} else if w.oldSet["ssl_crl_file"] != "" || c.Settings["ssl_crl_file"].Value != "" {
		w.masters["ssl_crl_file"] = ""
	}
	w.set = w.masters
	if w.copies {
		if stay && len(certs) > len(a.certs) && len(crls) > 0 {
			if err := t.refuseTheirPlace(h, c); err != nil {
				return nil, err
			}
		}
		if len(crls) > 0 {
			w.union = union(certs, crls, now)
		}
		if err := t.placeCopies(h, w, l, a); err != nil {
			return nil, err
		}
	}
	w.compare(l)
	dir := l.entry(c.Dir)
	w.folder = dir.Kind == "dir" && dir.UID == 0
	w.surplus = w.union != nil || w.leftovers(l)
	return w, nil
}

// leftovers tells whether there are files of authorities or lists that neither the wanted settings nor those before name.
func (w *serverTrust) leftovers(l *look) bool {
	for _, name := range l.below(w.c.Dir) {
		if !strings.HasPrefix(name, "trust-") && !strings.HasPrefix(name, "crl-") {
			continue
		}
		file := w.c.Dir + "/" + name
		if file != w.masters["ssl_ca_file"] && file != w.masters["ssl_crl_file"] && file != w.oldSet["ssl_ca_file"] && file != w.oldSet["ssl_crl_file"] {
			return true
		}
	}
	return false
}

// believesAlready tells whether a cluster's settings name the wanted authorities, be their files whole or not.
func (t *trustTask) believesAlready(c *Cluster, l *look, a *anchors) bool {
	named, wanted := parseSettings(c.Ours)["ssl_ca_file"], pki.CertificatePEM(a.certs...)
	if t.TLSDir == "data" {
		now, err := pki.ParseCertificates(c.named(l, named, "trust-"))
		return err == nil && named == c.DataDir+"/"+t.copyName() && string(pki.CertificatePEM(now...)) == string(wanted)
	}
	return named == trustFile(c, wanted)
}

// contentName is a short name for bytes: 16 hex digits of their SHA-256.
func contentName(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// compare fills what is not as wanted.
func (w *serverTrust) compare(l *look) {
	for _, name := range trustSettings {
		value, ok := w.set[name]
		if !ok {
			continue
		}
		if w.oldSet[name] != value {
			w.repair = append(w.repair, fmt.Sprintf("%s = '%s'", name, value))
		}
		if value == "" {
			continue
		}
		master := w.masters[name]
		if e := l.entry(master); e.Kind != "file" || string(e.PEM) != string(w.content(name)) || e.UID != 0 || e.Mode != 0o644 {
			w.repair = append(w.repair, master)
		}
		if w.copies && w.copyDiffers(name) {
			w.differ = true
			w.repair = append(w.repair, value)
		}
	}
}

// content is what the file of a setting shall hold.
func (w *serverTrust) content(name string) []byte {
	if name == "ssl_crl_file" {
		return w.lists
	}
	return w.roots
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
		if w.copies {
			c.Notes = append(c.Notes, "authorities and lists in "+w.c.DataDir+" are copied by pg_basebackup, and pg_rewind and some backup tools stop at them")
		}
	}
	c.Summary = "let " + strings.Join(titles, ", ") + map[bool]string{true: " believe authority ", false: " believe clients of "}[t.inPlace()] + t.what(h)
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
			v.foreseeCluster(w.c, func(seen *Cluster) { w.foresee(seen, h.Fleet.Run) })
		}
	}
	return c
}

// closing writes the files under names of their own, reads them as the server's OS user, and switches both with one rename.
func (w *serverTrust) closing(h *Host) []transport.Step {
	roots, lists := w.masters["ssl_ca_file"], w.masters["ssl_crl_file"]
	var steps []transport.Step
	if !w.folder {
		steps = append(steps, transport.Step{Key: "folder of cluster " + w.c.ID, Shell: certificateCheckProgram + trustFolderProgram,
			Argv: []string{"/etc", strings.TrimPrefix(w.c.Dir, "/etc/")}})
	}
	if lists != "" {
		steps = append(steps, writeStep("", lists, 0o644, w.lists))
	}
	steps = append(steps, writeStep("", roots, 0o644, w.roots))
	if w.copies || !w.switches() || !checks(w.c, w.set, "ssl_ca_file") {
		steps = append(steps, transport.Step{Key: "read as " + w.c.OSUser, User: w.c.OSUser, Shell: certificateCheckProgram + trustReadableProgram, Argv: []string{roots, lists}})
	}
	var settings []transport.Step
	if w.switches() {
		settings = settingsSteps(h, w.c, w.set)
	}
	if w.copies {
		settings = w.install(h, settings)
	}
	steps = append(steps, settings...)
	if w.surplus {
		steps = append(steps, transport.Step{Key: "prune trust of cluster " + w.c.ID, Shell: trustPruneProgram,
			Argv: []string{w.c.Dir, roots, lists, w.oldSet["ssl_ca_file"], w.oldSet["ssl_crl_file"]}})
	}
	return steps
}

// switches tells whether the settings name other files than before.
func (w *serverTrust) switches() bool {
	for name, value := range w.set {
		if w.oldSet[name] != value {
			return true
		}
	}
	return false
}

// foresee is the effect of closing on what the probe of clusters sees.
func (w *serverTrust) foresee(seen *Cluster, run string) {
	if w.switches() {
		seen.foreseeSettings(run, w.set)
	} else if w.differ {
		seen.foreseeCopy(run)
	}
	for _, name := range trustSettings {
		switch value := w.set[name]; {
		case value == "":
		case w.copies:
			seen.foreseeBeside(value, w.content(name))
		default:
			seen.foreseeFile(value, 0o644, w.content(name))
		}
	}
}
