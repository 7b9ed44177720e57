package tasks

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// keyServer is the view key of the probe of /etc/pgfleet.
const keyServer = "etc-pgfleet"

//go:embed certificate_probe.sh
var certificateProbeProgram string

//go:embed certificate_install.sh
var certificateInstallProgram string

//go:embed certificate_readable.sh
var certificateReadableProgram string

//go:embed certificate_copy.sh
var certificateCopyProgram string

//go:embed certificate_prune.sh
var certificatePruneProgram string

// serverProbe looks at what pgfleet keeps below /etc/pgfleet.
func serverProbe() transport.Step {
	return transport.Step{Key: keyServer, Probe: true, Limit: 30 * time.Second, Shell: certificateLookProgram + certificateProbeProgram}
}

// serverLook reads that probe and refuses folders that root must not write in.
func serverLook(h *Host, clusters []*Cluster) (*look, error) {
	result, err := h.View.Get(keyServer)
	if err != nil {
		return nil, err
	}
	if result.Err != nil {
		return nil, fmt.Errorf("look at /etc/pgfleet on %s: %w", h.Name, result.Err)
	}
	l, err := parseLook(result.Stdout)
	if err != nil {
		return nil, fmt.Errorf("look at /etc/pgfleet on %s: %w", h.Name, err)
	}
	h.View.Foreseen(keyServer, l)
	for _, c := range clusters {
		for _, p := range []string{"/etc/pgfleet", c.Dir, c.Dir + "/v"} {
			if err := refuseEntry(h, l.entry(p), 0); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// serverWork is one cluster that something has to be done for.
type serverWork struct {
	c      *Cluster
	plan   *certificatePlan
	repair []string
	// mode of copies in the data directory; see copyMode.
	mode string
}

// checkServer finds the clusters of a server whose certificate or files are not as wanted.
func (t *certificateTask) checkServer(h *Host) (*Change, error) {
	clusters, err := Clusters(h)
	if err != nil {
		return nil, err
	}
	l, err := serverLook(h, clusters)
	if err != nil {
		return nil, err
	}
	if clusters, err = t.renewedClusters(h, clusters); err != nil || len(clusters) == 0 {
		return nil, err
	}
	tmpl := t.serverTemplate(h)
	if err := tmpl.Check(); err != nil {
		return nil, fmt.Errorf("%w: certificate of %s: %w", ErrRefused, h.Name, err)
	}
	// What is in the way is told also where the authority is not there yet.
	by, pending := t.issuers(h)
	if pending != nil && !errors.Is(pending, ErrPending) {
		return nil, pending
	}
	var mine []*Cluster
	for _, c := range clusters {
		kept, err := t.inTheWay(h, c, l, by)
		if err != nil {
			return nil, err
		}
		if !kept {
			mine = append(mine, c)
		}
	}
	if pending != nil {
		return nil, pending
	}
	var work []*serverWork
	var asks []*certificatePlan
	var waits *WaitingError
	for _, c := range mine {
		w, err := t.serverWork(h, c, l, tmpl)
		if err != nil {
			return nil, err
		}
		if err := refusedSettings(c, t.settings(w)); err != nil && len(w.repair)+len(w.plan.Why) > 0 {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if err := t.noRenewal(h, w.plan); err != nil {
			return nil, err
		}
		waits = waits.also(w.plan.waiting(h))
		switch {
		case w.plan.Ask:
			asks = append(asks, w.plan)
		case w.plan.Waits && w.plan.Why != "":
		case w.plan.Why != "" || len(w.repair) > 0:
			work = append(work, w)
		}
	}
	if len(work)+len(asks) == 0 {
		return nil, orNil(waits)
	}
	var change *Change
	if len(work) > 0 {
		change = t.serverChange(h, work)
	}
	return t.asking(h, change, asks, keyServer), nil
}

// path makes a file name in a setting absolute: relative ones start at the data directory.
func (c *Cluster) path(name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(c.DataDir, name)
}

// serverWork compares one cluster with what is wanted.
func (t *certificateTask) serverWork(h *Host, c *Cluster, l *look, tmpl pki.Template) (*serverWork, error) {
	set := parseSettings(c.Ours)
	versions := l.versionsIn(c.Dir+"/v", "server")
	current := versionNamed(versions, set["ssl_cert_file"])
	if current == nil && t.inDataDir(c) {
		current = versionWith(versions, c.Files[c.path(set["ssl_cert_file"])].Bytes)
	}
	by, err := t.issuerFor(h, current)
	if err != nil {
		return nil, err
	}
	o := &holder{Key: h.Name + " " + c.ID, Title: "cluster " + c.ID, Anchor: "/etc", Below: strings.TrimPrefix(c.Dir, "/etc/"), File: "server", FolderMode: "755",
		Versions: versions, Current: current, Template: tmpl}
	plan, err := t.planFor(h.Name, o, by, h.Fleet.Now)
	if err != nil {
		return nil, err
	}
	w := &serverWork{c: c, plan: plan, mode: t.copyMode(c, l)}
	if w.plan.Why == "" && t.Only == "" {
		w.repair = t.serverRepair(w, l, set)
	}
	return w, nil
}

// versionWith gives the newest version whose certificate has these bytes.
func versionWith(versions []version, crt []byte) *version {
	certs, err := pki.ParseCertificates(crt)
	if err != nil {
		return nil
	}
	for i := len(versions) - 1; i >= 0; i-- {
		if leaf := versions[i].leaf(); leaf != nil && leaf.Equal(certs[0]) {
			return &versions[i]
		}
	}
	return nil
}

// settings are the two that one rename switches.
func (t *certificateTask) settings(w *serverWork) map[string]string {
	v := w.plan.base() + "/v/" + w.plan.Gen
	if t.inDataDir(w.c) {
		v = w.c.DataDir
	}
	return map[string]string{"ssl_cert_file": v + "/server.crt", "ssl_key_file": v + "/server.key"}
}

// serverRepair lists what is not as wanted although the certificate is.
func (t *certificateTask) serverRepair(w *serverWork, l *look, set map[string]string) []string {
	var out []string
	for name, value := range t.settings(w) {
		if set[name] != value {
			out = append(out, name+" = "+value)
		}
	}
	v := w.plan.Current
	if k := v.Key; k.Owner != "root" || k.Group != w.c.OSGroup || k.Mode != 0o640 {
		out = append(out, fmt.Sprintf("%s is %s:%s %04o, wanted is root:%s 0640", k.Path, k.Owner, k.Group, k.Mode, w.c.OSGroup))
	}
	if c, d := v.Crt, l.entry(v.Dir); c.UID != 0 || c.Mode != 0o644 || d.UID != 0 || d.Mode != 0o755 {
		out = append(out, "owner or mode of "+v.Dir)
	}
	if t.inDataDir(w.c) {
		out = append(out, copiesDiffer(w)...)
	}
	if w.plan.surplus() {
		out = append(out, "versions that nobody needs in "+w.c.Dir+"/v")
	}
	return out
}

// copiesDiffer says whether the copies in the data directory are not those of the version in force.
func copiesDiffer(w *serverWork) []string {
	crt, key := w.c.Files[w.c.DataDir+"/server.crt"], w.c.Files[w.c.DataDir+"/server.key"]
	same := versionWith([]version{*w.plan.Current}, crt.Bytes) != nil && string(key.Bytes) == w.plan.Current.Key.Public
	if same && crt.Mode == 0o600 && key.Mode == 0o600 && crt.Owner == w.c.OSUser && key.Owner == w.c.OSUser {
		return nil
	}
	return []string{"server.crt and server.key in " + w.c.DataDir}
}

// serverChange issues for all clusters of a host in one round trip of requests and one of closing steps.
func (t *certificateTask) serverChange(h *Host, work []*serverWork) *Change {
	c := &Change{Touches: []string{KeyPostgres, keyServer}}
	var titles []string
	var plans []*certificatePlan
	for _, w := range work {
		plans = append(plans, w.plan)
		if w.plan.Why != "" {
			titles = append(titles, w.plan.summary())
			c.Diff += w.plan.diff()
		} else {
			titles = append(titles, "repair files of "+w.plan.Title)
			c.Diff += w.plan.Title + ": not as wanted: " + strings.Join(w.repair, "; ") + "\n"
		}
		if t.inDataDir(w.c) {
			c.Notes = append(c.Notes, "key and certificate in "+w.c.DataDir+" are copied by pg_basebackup, and pg_rewind and some backup tools stop at them")
		}
	}
	c.Summary = strings.Join(titles, "; ")
	var certs []*x509.Certificate
	c.Apply = func(ctx context.Context, do Doer) (_ []transport.Step, err error) {
		if certs, err = t.issueAll(ctx, do, h, plans); err != nil {
			return nil, err
		}
		return t.serverClosing(h, work, certs), nil
	}
	c.Foresee = func(v *View) {
		v.Foresee(keyServer, nil)
		for i, w := range work {
			v.foreseeCluster(w.c, func(seen *Cluster) { t.foreseeServer(h, seen, w, certs[i]) })
		}
	}
	c.Then = t.applied(plans)
	return c
}

// foreseeServer is the effect of serverClosing on a cluster; cert is nil where none was issued.
func (t *certificateTask) foreseeServer(h *Host, c *Cluster, w *serverWork, cert *x509.Certificate) {
	set := t.settings(w)
	c.foreseeSettings(h.Fleet.Run, set)
	if cert == nil {
		if cert = w.plan.version(w.plan.Gen).leaf(); cert == nil {
			return
		}
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: cert.RawSubjectPublicKeyInfo})
	if t.inDataDir(w.c) {
		c.foreseeBeside(set["ssl_cert_file"], w.plan.by.served(cert))
		c.foreseeBeside(set["ssl_key_file"], key)
		return
	}
	c.foreseeFile(set["ssl_cert_file"], 0o644, w.plan.by.served(cert))
	c.foreseeFile(set["ssl_key_file"], 0o640, key)
}

// serverClosing writes the certificates of all clusters, then opens, checks and switches one cluster after the other.
func (t *certificateTask) serverClosing(h *Host, work []*serverWork, certs []*x509.Certificate) []transport.Step {
	var writes, rest []transport.Step
	for i, w := range work {
		writes = append(writes, w.plan.writeSteps(certs[i], 0o644)...)
		v := w.plan.base() + "/v/" + w.plan.Gen
		rest = append(rest, transport.Step{Key: "open " + w.plan.Title, Shell: certificateCheckProgram + certificateInstallProgram,
			Argv: []string{w.plan.Anchor, w.plan.Below, w.plan.Gen, w.c.OSGroup}})
		set, want := parseSettings(w.c.Ours), t.settings(w)
		switches := set["ssl_cert_file"] != want["ssl_cert_file"] || set["ssl_key_file"] != want["ssl_key_file"]
		if t.inDataDir(w.c) || !switches || !checks(w.c, want, "ssl_cert_file") {
			rest = append(rest, transport.Step{Key: "read as " + w.c.OSUser, User: w.c.OSUser, Shell: certificateCheckProgram + certificateReadableProgram,
				Argv: []string{v + "/server.key", v + "/server.crt", v + "/issuer.crt"}})
		}
		if t.inDataDir(w.c) {
			rest = append(rest, transport.Step{Key: "copy to the data directory", User: w.c.OSUser, Shell: certificateCheckProgram + certificateCopyProgram,
				Argv: []string{v + "/server.key", v + "/server.crt", w.c.DataDir, w.mode}})
		}
		if switches {
			rest = append(rest, settingsStepsTo(h, w.c, want, v+"/issuer.crt")...)
		}
		if w.plan.surplus() {
			rest = append(rest, transport.Step{Key: "prune " + w.plan.Title, Shell: certificatePruneProgram,
				Argv: []string{w.plan.base() + "/v", w.plan.Gen, w.plan.kept()}})
		}
	}
	return append(writes, rest...)
}
