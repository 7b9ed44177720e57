package tasks

import (
	"context"
	"crypto/x509"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed identity_folders.sh
var identityFoldersProgram string

// trustWork is one identity whose trust is not as wanted.
type trustWork struct {
	st *identityState
	// home makes the folder in the place of the home directory.
	home []transport.Step
	// roots and lists are the wanted files; lists nil: none. union holds lists that stay until the old authorities are gone, nil when not needed.
	roots, lists, union []byte
	files               ServiceFiles
	block               string
	// copies in ~/.postgresql, as identity_switch.sh wants them: root.crt:NAME, root.crl:NAME.
	copies []string
	// stale lists are removed at the end.
	stale  []string
	repair []string
	// tell: the application is told of new authorities, which it may have read long ago.
	tell bool
}

// checkClient finds the identities of a client that do not believe what they shall.
func (t *trustTask) checkClient(h *Host, a *anchors) (*Change, error) {
	if len(h.Identities) == 0 {
		return nil, fmt.Errorf("%w: %s has no identities: name them in the inventory (identities: {OS-USER: [DATABASE-USER]})", ErrRefused, h.Name)
	}
	var work, all []*trustWork
	for _, id := range h.Identities {
		if err := checkIdentity(id); err != nil {
			return nil, fmt.Errorf("%w: identity of %s: %w", ErrRefused, h.Name, err)
		}
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		t, a := t, a
		if t.follows(h) {
			if t, a, err = t.generationsFor(h, st); err != nil {
				return nil, err
			}
			if t == nil {
				continue
			}
		}
		if t.Only == "renew" {
			if t, a, err = t.renewedFor(h, st, a); err != nil {
				return nil, err
			}
			if t == nil {
				continue
			}
		}
		w, err := t.clientWork(h, st, a)
		if err != nil {
			return nil, err
		}
		if w.home, err = st.homeSteps(h); err != nil {
			return nil, err
		}
		all = append(all, w)
		if len(w.repair) > 0 {
			work = append(work, w)
		}
	}
	if len(work) == 0 {
		return nil, nil
	}
	if err := t.refuseTwoCopies(h, all); err != nil {
		return nil, err
	}
	return t.clientChange(h, work), nil
}

// clientWork compares one identity with what is wanted.
func (t *trustTask) clientWork(h *Host, st *identityState, a *anchors) (*trustWork, error) {
	w := &trustWork{st: st, files: st.filesNow()}
	certs, lists := a.certs, a.lists
	foreign, err := t.foreignFiles(h, st, a)
	if err != nil {
		return nil, err
	}
	places := st.believed()
	for _, now := range places {
		if err := t.refuseDrop(h, st.ID.DBUser+" of "+st.ID.OSUser, now.roots, a); err != nil {
			return nil, err
		}
		if err := a.mayFollow(h, now.lists); err != nil {
			return nil, err
		}
		if theirs, err := pki.ParseCertificates(now.roots); err == nil {
			foreign = append(foreign, theirs...)
		}
	}
	if t.both() {
		for _, c := range foreign {
			if containsCert(certs, c) || containsCert(a.gone, c) {
				continue
			}
			certs = append(slices.Clone(certs), c)
			if len(lists) == 0 || t.Existing == "keep" { // kept files have no list of ours beside them
				continue
			}
			list, err := ancestor{h.keeperOf(c), c}.list(h)
			if err != nil {
				return nil, fmt.Errorf("%s of %s on %s: %w", st.ID.DBUser, st.ID.OSUser, h.Name, err)
			}
			lists = append(slices.Clone(lists), list)
		}
	}
	w.roots = pki.CertificatePEM(certs...)
	w.files.Root, w.files.CRL = t.rootsOf(st), ""
	if len(lists) > 0 {
		w.files.CRL = listBeside(w.files.Root)
		upside := slices.Clone(lists)
		slices.Reverse(upside) // W28: the intermediate's list first, then the root's
		w.lists = pki.CRLPEM(upside...)
		if st.ID.Default {
			places = append(places, believed{st.entry(st.Home + "/.postgresql/root.crt").PEM, st.entry(st.Home + "/.postgresql/root.crl").PEM})
		}
		w.union = union(certs, upside, places...)
	}
	if err := t.homeCopies(h, w, a); err != nil {
		return nil, err
	}
	services, err := servicesOf(h, st, w.files)
	if err != nil {
		return nil, err
	}
	if w.block, err = serviceBlock(st, services); err != nil {
		return nil, err
	}
	w.compare()
	w.compareCopies()
	t.defaults(w)
	w.toTell(t.follows(h) && t.Only != "drop")
	return w, nil
}

// foreignFiles finds root.crt and root.crl in ~/.postgresql that are not ours where they matter: root.crt when the identity uses libpq's default
// names, root.crl whenever our services name no list (libpq then applies it to every connection).
func (t *trustTask) foreignFiles(h *Host, st *identityState, a *anchors) ([]*x509.Certificate, error) {
	crt, crl := st.entry(st.Home+"/.postgresql/root.crt"), st.entry(st.Home+"/.postgresql/root.crl")
	ours := slices.Concat(a.certs, a.gone, st.entry(st.Base+"/root.crt").certificates())
	var foreign []*x509.Certificate
	if st.ID.Default {
		if err := refuseEntry(h, crt, st.UID); err != nil {
			return nil, err
		}
		for _, c := range crt.certificates() {
			if !containsCert(ours, c) {
				foreign = append(foreign, c)
			}
		}
		if unreadable := crt.Kind == "file" && len(crt.certificates()) == 0; t.Existing == "stop" && (len(foreign) > 0 || unreadable) {
			return nil, fmt.Errorf("%w: %s on %s is not pgfleet's: move it away, or say existing: overlap, replace (a copy is kept) or keep", ErrRefused, crt.Path, h.Name)
		}
	}
	if crl.Kind == "file" && len(a.lists) == 0 && string(crl.PEM) != string(st.entry(st.Base+"/root.crl").PEM) && t.Existing != "keep" {
		return nil, fmt.Errorf("%w: %s on %s is applied by libpq to every connection that names no list, and would refuse servers it does not know: say crl: yes for this task, move the file away, or say existing: keep",
			ErrRefused, crl.Path, h.Name)
	}
	return foreign, nil
}

// compare fills what is not as wanted.
func (w *trustWork) compare() {
	st := w.st
	differs := func(p string, want []byte) bool {
		e := st.entry(p)
		return e.Kind != "file" || string(e.PEM) != string(want) || e.Size != len(want) || e.Mode&0o077 != 0
	}
	if differs(st.Base+"/root.crt", w.roots) {
		w.repair = append(w.repair, "root.crt")
	}
	if w.lists != nil && differs(st.Base+"/root.crl", w.lists) {
		w.repair = append(w.repair, "root.crl")
	}
	if w.lists == nil && st.entry(st.Base+"/root.crl").Kind == "file" {
		w.stale = append(w.stale, st.Base+"/root.crl")
		w.repair = append(w.repair, "root.crl that nothing uses")
	}
	if w.block != st.Block {
		w.repair = append(w.repair, "the services in "+st.ServiceFile)
	}
	if st.entry(st.Base+"/pgfleet.env").Text != w.st.environment(w.files) {
		w.repair = append(w.repair, "pgfleet.env")
	}
}

// defaults adds libpq's default names of the roots.
func (t *trustTask) defaults(w *trustWork) {
	st := w.st
	if !st.ID.Default || t.Existing == "keep" && st.entry(st.Home+"/.postgresql/root.crt").Kind == "file" &&
		string(st.entry(st.Home+"/.postgresql/root.crt").PEM) != string(st.entry(st.Base+"/root.crt").PEM) {
		return
	}
	for _, from := range w.sources() {
		w.copies = append(w.copies, from+":"+from)
		if e := st.entry(st.Home + "/.postgresql/" + from); string(e.PEM) != string(w.content(from)) || e.Mode&0o077 != 0 {
			w.repair = append(w.repair, "the copy "+e.Path)
		}
	}
	if crl := st.entry(st.Home + "/.postgresql/root.crl"); w.lists == nil && crl.Kind == "file" && len(w.stale) > 0 {
		w.stale = append(w.stale, crl.Path)
	}
}

// clientChange puts the files of all identities in place in one round trip.
func (t *trustTask) clientChange(h *Host, work []*trustWork) *Change {
	c := &Change{}
	var titles []string
	for _, w := range work {
		title := w.st.ID.DBUser + " of " + w.st.ID.OSUser
		titles = append(titles, title)
		c.Touches = append(c.Touches, identityKey(w.st.ID))
		c.Diff += title + ": " + strings.Join(w.repair, ", ") + "\n" + w.diff()
	}
	c.Summary = "let " + strings.Join(titles, ", ") + " trust " + t.what(h)
	c.Apply = func(context.Context, Doer) ([]transport.Step, error) {
		return t.clientClosing(work), nil
	}
	if slices.ContainsFunc(work, func(w *trustWork) bool { return w.tell }) {
		return c // what an application does is not foreseen
	}
	c.Foresee = func(v *View) {
		for _, w := range work {
			v.Foresee(identityKey(w.st.ID), func(seen any) { w.foresee(seen.(*look)) })
		}
	}
	return c
}

// diff shows which authorities come and go, and the services.
func (w *trustWork) diff() string {
	var before, after []string
	for _, c := range w.st.entry(w.st.Base + "/root.crt").certificates() {
		before = append(before, trustLine(c))
	}
	wanted, err := pki.ParseCertificates(w.roots)
	if err != nil {
		return ""
	}
	for _, c := range wanted {
		after = append(after, trustLine(c))
	}
	out := diffText("root.crt", strings.Join(before, ""), strings.Join(after, ""))
	return out + diffText(w.st.ServiceFile+" (pgfleet's block)", w.st.Block, w.block)
}

// trustLine is one authority in a diff.
func trustLine(c *x509.Certificate) string {
	return fmt.Sprintf("%s until %s sha256 %s\n", pki.FormatSubject(c.Subject), c.NotAfter.UTC().Format("2006-01-02"), pki.Fingerprint(c))
}

// clientClosing: folders where they are missing, all files under names that nobody reads yet, then one switch an identity.
func (t *trustTask) clientClosing(work []*trustWork) []transport.Step {
	var folders, writes, switches, removals []transport.Step
	var told []*clientWork
	for _, w := range work {
		st, user := w.st, w.st.ID.OSUser
		if w.tell {
			told = append(told, w.application())
			writes = append(writes, w.application().markStep()...)
		}
		folders = append(folders, w.home...)
		if st.entry(st.Base).Kind != "dir" {
			folders = append(folders, transport.Step{Key: "folders of " + st.ID.DBUser, User: user, Shell: certificateCheckProgram + identityFoldersProgram,
				Argv: []string{st.Home, st.Below}})
		}
		writes = append(writes, writeStep(user, st.Base+"/root.crt.new", 0o600, w.roots))
		if w.lists != nil {
			writes = append(writes, writeStep(user, st.Base+"/root.crl.new", 0o600, w.lists))
			union := w.union
			if union == nil {
				union = w.lists
			}
			writes = append(writes, writeStep(user, st.Base+"/root.crl.union", 0o600, union))
		}
		switches = append(switches, switchStep(st, "", "", nil, w.files, w.block, w.copies, t.Existing))
		if len(w.stale) > 0 {
			removals = append(removals, transport.Step{Key: "remove lists", User: user, Argv: append([]string{"rm", "-f", "--"}, w.stale...)})
		}
	}
	return slices.Concat(folders, writes, switches, removals, afterSteps(told))
}
