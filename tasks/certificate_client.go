package tasks

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed identity_block.sh
var identityBlockProgram string

//go:embed identity_switch.sh
var identitySwitchProgram string

// clientWork is one identity that something has to be done for.
type clientWork struct {
	st   *identityState
	plan *certificatePlan
	// home makes the folder in the place of the home directory.
	home []transport.Step
	// copies are the names in ~/.postgresql that the pair is copied to.
	copies []string
	// written: the new certificate's files are there.
	written bool
	// repair says what besides the certificate is not as wanted.
	repair []string
}

// checkClient finds the identities of a client whose certificate or files are not as wanted.
func (t *certificateTask) checkClient(h *Host) (*Change, error) {
	if len(h.Identities) == 0 {
		return nil, fmt.Errorf("%w: %s has no identities: name them in the inventory (identities: {OS-USER: [DATABASE-USER]})", ErrRefused, h.Name)
	}
	if err := t.refusePrivileged(h); err != nil {
		return nil, err
	}
	states := make([]*identityState, len(h.Identities))
	for i, id := range h.Identities {
		st, err := stateOf(h, id)
		if err != nil {
			return nil, err
		}
		states[i] = st
	}
	states, err := t.renewedIdentities(h, states)
	if err != nil || len(states) == 0 {
		return nil, err
	}
	var work []*clientWork
	var asks []*certificatePlan
	var touches []string
	var waits *WaitingError
	for _, st := range states {
		w, err := t.clientWork(h, st)
		if err != nil {
			return nil, err
		}
		if w.home, err = st.homeSteps(h); err != nil {
			return nil, err
		}
		if err := t.noRenewal(h, w.plan); err != nil {
			return nil, err
		}
		waits = waits.also(w.plan.waiting(h))
		switch {
		case w.plan.Ask:
			asks, touches = append(asks, w.plan), append(touches, identityKey(st.ID))
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
		change = t.clientChange(h, work)
	}
	return t.asking(h, change, asks, touches...), nil
}

// clientWork compares one identity with what is wanted.
func (t *certificateTask) clientWork(h *Host, st *identityState) (*clientWork, error) {
	by, err := t.issuerFor(h, st.Current)
	if err != nil {
		return nil, err
	}
	o := &holder{Key: h.Name + " " + identityKey(st.ID), Title: st.ID.DBUser + " of " + st.ID.OSUser, Anchor: st.Home, Below: st.Below, File: "client",
		User: st.ID.OSUser, FolderMode: "700", Versions: st.Versions, Current: st.Current,
		Template: pki.Template{Profile: pki.ProfileClient, ValidFor: t.ValidFor}}
	o.Template.Subject.CommonName = st.ID.DBUser
	plan, err := t.planFor(h.Name, o, by, h.Fleet.Now)
	if err != nil {
		return nil, err
	}
	w := &clientWork{st: st, plan: plan}
	copies, err := t.copiesOf(h, st)
	if err != nil {
		return nil, err
	}
	w.copies = copies
	if w.plan.Why != "" {
		return w, nil
	}
	if t.Only == "" {
		w.repair, err = t.clientRepair(h, w)
	}
	w.repair = append(w.repair, w.leftUndone()...)
	return w, err
}

// copiesOf gives the pairs in ~/.postgresql that an identity wants: libpq's default names, client.crt. Files there that are not ours
// stop the task, are kept, or are replaced.
func (t *certificateTask) copiesOf(h *Host, st *identityState) ([]string, error) {
	var out []string
	if st.ID.Default {
		out = append(out, "postgresql")
	}
	if t.inHome(st) {
		out = append(out, "client")
		for _, other := range h.Identities {
			if other.OSUser == st.ID.OSUser && other.DBUser != st.ID.DBUser {
				return nil, fmt.Errorf("%w: OS user %s on %s has several database users, and tls_dir: home has room for one: use tls_dir: own", ErrRefused, st.ID.OSUser, h.Name)
			}
		}
	}
	var kept []string
	for _, name := range out {
		foreign, err := t.foreignPair(h, st, name)
		if err != nil {
			return nil, err
		}
		switch {
		case foreign == "" || t.Existing == "replace" || t.Existing == "overlap":
			kept = append(kept, name)
		case t.Existing == "stop" || name == "client":
			return nil, fmt.Errorf("%w: %s on %s is not pgfleet's: move it away, or say existing: replace (a copy is kept) or existing: keep", ErrRefused, foreign, h.Name)
		}
	}
	return kept, nil
}

// foreignPair gives the path of a file of a pair in ~/.postgresql that none of our versions explains, "" when there is none.
func (t *certificateTask) foreignPair(h *Host, st *identityState, name string) (string, error) {
	crt, key := st.entry(st.Home+"/.postgresql/"+name+".crt"), st.entry(st.Home+"/.postgresql/"+name+".key")
	for _, e := range []*entry{crt, key} {
		if err := refuseEntry(h, e, st.UID); err != nil {
			return "", err
		}
	}
	ours := func(spki []byte) bool {
		for _, v := range st.Versions {
			if len(spki) > 0 && string(v.Key.spki()) == string(spki) {
				return true
			}
		}
		return false
	}
	if certs := crt.certificates(); crt.Kind == "file" && (len(certs) == 0 || !ours(certs[0].RawSubjectPublicKeyInfo)) {
		return crt.Path, nil
	}
	if key.Kind == "file" && !ours(key.spki()) {
		return key.Path, nil
	}
	return "", nil
}

// files are the paths that the services of an identity shall name once the plan's version is in force.
func (t *certificateTask) files(w *clientWork) ServiceFiles {
	now := w.st.filesNow()
	files := ServiceFiles{Root: now.Root, CRL: now.CRL} // those are trust's
	v := w.plan.base() + "/v/" + w.plan.Gen
	files.Cert, files.Key = v+"/client.crt", v+"/client.key"
	if t.inHome(w.st) {
		files.Cert, files.Key = w.st.Home+"/.postgresql/client.crt", w.st.Home+"/.postgresql/client.key"
	}
	return files
}

// clientRepair lists what is not as wanted although the certificate is.
func (t *certificateTask) clientRepair(h *Host, w *clientWork) ([]string, error) {
	st, v := w.st, w.plan.Current
	var out []string
	block, err := t.block(h, w)
	if err != nil {
		return nil, err
	}
	told := h.Fleet.CheckOnly && h.View.Planned(identityKey(st.ID)) // the trust task before this one writes them, too, and has shown them
	if block != st.Block && !told {
		out = append(out, "the services in "+st.ServiceFile)
	}
	if st.entry(st.Base+"/pgfleet.env").Text != st.environment(t.files(w)) && !told {
		out = append(out, st.Base+"/pgfleet.env")
	}
	if v.Key.Mode&0o077 != 0 || v.Key.Mode&0o400 == 0 {
		out = append(out, fmt.Sprintf("mode %04o of %s", v.Key.Mode, v.Key.Path))
	}
	for _, name := range w.copies {
		crt, key := st.entry(st.Home+"/.postgresql/"+name+".crt"), st.entry(st.Home+"/.postgresql/"+name+".key")
		if string(crt.PEM) != string(v.Crt.PEM) || key.Public != v.Key.Public || crt.Mode&0o077 != 0 || key.Mode&0o077 != 0 {
			out = append(out, "the copies "+crt.Path+" and .key")
		}
	}
	if w.plan.surplus() {
		out = append(out, "versions that nobody needs in "+st.Base+"/v")
	}
	return out, nil
}

func (t *certificateTask) block(h *Host, w *clientWork) (string, error) {
	services, err := servicesOf(h, w.st, t.files(w))
	if err != nil {
		return "", err
	}
	return serviceBlock(w.st, services)
}

// clientChange issues for all identities of a host in one round trip of requests and one of closing steps.
func (t *certificateTask) clientChange(h *Host, work []*clientWork) *Change {
	c := &Change{}
	var titles []string
	var plans []*certificatePlan
	var homes []transport.Step
	for _, w := range work {
		homes = append(homes, w.home...)
		c.Touches = append(c.Touches, identityKey(w.st.ID))
		plans = append(plans, w.plan)
		if w.plan.Why != "" {
			titles = append(titles, w.plan.summary())
			c.Diff += w.plan.diff() + w.diffAfter()
			continue
		}
		titles = append(titles, "repair files of "+w.plan.Title)
		c.Diff += w.plan.Title + ": not as wanted: " + strings.Join(w.repair, ", ") + "\n"
	}
	c.Summary = strings.Join(titles, "; ")
	c.Apply = func(ctx context.Context, do Doer) ([]transport.Step, error) {
		if len(homes) > 0 {
			results, err := do.Do(ctx, homes...)
			if err == nil {
				err = transport.Failed(homes, results)
			}
			if err != nil {
				return nil, err
			}
		}
		certs, err := t.issueAll(ctx, do, h, plans)
		if err != nil {
			return nil, err
		}
		if err := t.tryNew(ctx, do, h, work, certs); err != nil {
			return nil, err
		}
		return t.clientClosing(h, work, certs)
	}
	c.Then = t.applied(plans)
	return c
}

// clientClosing writes every identity's certificate, then checks and switches one after the other; what has to learn of it comes last.
func (t *certificateTask) clientClosing(h *Host, work []*clientWork, certs []*x509.Certificate) ([]transport.Step, error) {
	var writes, switches []transport.Step
	for i, w := range work {
		block, err := t.block(h, w)
		if err != nil {
			return nil, err
		}
		if w.plan.Why != "" && !w.written {
			writes = append(writes, w.plan.writeSteps(certs[i], 0o600)...)
		}
		writes = append(writes, w.markStep()...)
		leaf := certs[i]
		if leaf == nil {
			leaf = w.plan.version(w.plan.Gen).leaf()
		}
		switches = append(switches, switchStep(w.st, w.plan.Gen, w.plan.kept(), leaf, t.files(w), block, w.copies, t.Existing))
		switches = append(switches, w.furtherSteps()...)
	}
	return slices.Concat(writes, switches, afterSteps(work)), nil
}

// switchStep puts a version, whose certificate is leaf, and the services that name it in force, as the OS user. gen "": new authorities and the services alone.
func switchStep(st *identityState, gen, kept string, leaf *x509.Certificate, files ServiceFiles, block string, copies []string, existing string) transport.Step {
	first, last := blockMarks(st.ID)
	public := ""
	if leaf != nil {
		public = strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: leaf.RawSubjectPublicKeyInfo})))
	}
	say := func(word string, when bool) string {
		if !when {
			return ""
		}
		return word
	}
	step := transport.Step{Key: "switch " + st.ID.DBUser + " of " + st.ID.OSUser, User: st.ID.OSUser, Shell: certificateCheckProgram + identityBlockProgram + identitySwitchProgram,
		Argv: []string{st.Home, st.Below, gen, kept, first, last, strings.Join(copies, " "), say("copy", existing == "replace" || existing == "overlap"),
			strings.TrimSuffix(st.environment(files), "\n"), say("roots", gen == ""), say("services", block != st.Block), public}}
	return withLines(step, block)
}

// withLines gives a step a block: its lines as further arguments, which takes two processes less than standard input; that is for what may be too long for arguments.
func withLines(step transport.Step, block string) transport.Step {
	switch {
	case len(block) > 64<<10:
		step.Stdin = []byte(block)
	case block != "":
		step.Argv = append(step.Argv, strings.Split(strings.TrimSuffix(block, "\n"), "\n")...)
	}
	return step
}

func writeStep(user, path string, mode uint32, data []byte) transport.Step {
	return transport.Step{User: user, Write: &transport.FileMeta{Path: path, Mode: fs.FileMode(mode)}, Stdin: data}
}

// summary is one line for a plan.
func (p *certificatePlan) summary() string {
	verb := "issue"
	switch {
	case !p.Issue:
		verb = "put in force"
	case p.Keep:
		verb = "renew the chain of the"
	case p.Current.leaf() != nil:
		verb = "renew"
	}
	return fmt.Sprintf("%s certificate of %s (%s)", verb, p.Title, p.Why)
}
