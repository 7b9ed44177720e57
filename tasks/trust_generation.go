package tasks

import (
	"crypto/x509"
	"fmt"
	"path"
	"slices"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Where an authority is being replaced, whom a cluster or an identity shall believe depends on whom it believes now.

// generationsOn gives the task and the authorities as they are for a cluster, nil when it is left alone.
func (t *trustTask) generationsOn(h *Host, c *Cluster, l *look) (*trustTask, *anchors, error) {
	file := parseSettings(c.Ours)["ssl_ca_file"]
	now, _ := pki.ParseCertificates(c.named(l, file, "trust-"))
	own := *t
	if t.inPlace() {
		if file == "" {
			return nil, nil, nil
		}
		own.Existing = "overlap" // who else is believed stays
		if path.Dir(file) == c.DataDir {
			own.TLSDir, own.File = "data", path.Base(file)
		}
		if parseSettings(c.Ours)["ssl_crl_file"] == "" {
			own.CRL = "no"
		}
	}
	a, err := own.anchorsFor(h, now)
	if err != nil || own.leaves(a, now) {
		return nil, nil, err
	}
	return &own, a, own.mayDrop(h, a, now, "cluster "+c.ID)
}

// generationsFor is generationsOn for an identity.
func (t *trustTask) generationsFor(h *Host, st *identityState) (*trustTask, *anchors, error) {
	files := st.filesNow()
	now := st.entry(files.Root).certificates()
	own := *t
	if t.inPlace() {
		if st.Block == "" {
			return nil, nil, nil
		}
		own.Existing = "overlap"
		if path.Dir(files.Root) == st.Home+"/.postgresql" {
			own.TLSDir, own.File = "home", path.Base(files.Root)
		}
		if files.CRL != "" {
			own.CRL = "yes"
		}
	}
	a, err := own.anchorsFor(h, now)
	if err != nil || own.leaves(a, now) {
		return nil, nil, err
	}
	return &own, a, own.mayDrop(h, a, now, st.ID.DBUser+" of "+st.ID.OSUser)
}

// inPlace tells whether the task changes only who is believed, where the files are.
func (t *trustTask) inPlace() bool { return t.Only == "add" || t.Only == "drop" }

// leaves tells whether there is nothing to add or to drop for somebody who believes some authorities.
func (t *trustTask) leaves(a *anchors, now []*x509.Certificate) bool {
	known := slices.ContainsFunc(slices.Concat(a.certs, a.gone), func(c *x509.Certificate) bool { return believes(now, []*x509.Certificate{c}) })
	switch t.Only {
	case "add":
		return !known // it believes none of them, and is somebody else's
	case "drop":
		return !slices.ContainsFunc(a.gone, func(c *x509.Certificate) bool { return believes(now, []*x509.Certificate{c}) })
	}
	return false
}

// mayDrop refuses to drop authorities that somebody needs, or whose successor is not believed yet.
func (t *trustTask) mayDrop(h *Host, a *anchors, now []*x509.Certificate, who string) error {
	if t.Only != "drop" {
		return nil
	}
	var titles []string
	for _, c := range a.gone {
		titles = append(titles, pki.CertTitle(c))
	}
	if h.Fleet.changing() {
		return fmt.Errorf("who needs %s: %w", inShort(titles, 3, ", "), ErrPending)
	}
	if !believes(now, a.certs) {
		return fmt.Errorf("%w: %s of %s does not believe the successor of %s yet: have it added first (pgfleet rotate-ca)", ErrRefused, who, h.Name, inShort(titles, 3, ", "))
	}
	profile := pki.ProfileServer
	if t.server(h) {
		profile = pki.ProfileClient
	}
	if needed := h.dependents(profile, a.gone); len(needed) > 0 {
		wait, err := h.awaitedCertificates(t.Authorities, needed)
		if err != nil {
			return err
		}
		if wait != nil {
			return wait
		}
		return fmt.Errorf("%w: %s is still needed, so nobody stops to believe it: %s", ErrRefused, inShort(titles, 3, ", "), inShort(needed, 5, "; "))
	}
	return nil
}

// toTell has the application told where an authority is being replaced and who is believed changes, or has changed without its being told: one that read root.crt when
// it began would not accept servers with certificates of the successor.
func (w *trustWork) toTell(replacing bool) {
	if !replacing || w.st.ID.AfterChange == nil || w.st.Block == "" {
		return
	}
	untold := w.st.untold()
	w.tell = untold || slices.Contains(w.repair, "root.crt")
	if untold {
		w.repair = append(w.repair, w.st.ID.AfterChange.String()+" has not run since the files changed")
	}
}

// application is the identity as one whose application is told.
func (w *trustWork) application() *clientWork {
	return &clientWork{st: w.st, plan: &certificatePlan{holder: &holder{Title: w.st.ID.DBUser + " of " + w.st.ID.OSUser}, Why: "other authorities"}}
}

// untold tells whether after_change of an identity has not run since its files changed.
func (st *identityState) untold() bool {
	return st.ID.AfterChange != nil && st.entry((&clientWork{st: st}).mark()).Kind == "file"
}
