package tasks

import (
	"fmt"
	"strings"
)

// tls_dir: home. The services name copies of an identity's root.crt and root.crl in ~/.postgresql.

// rootsOf gives the file of authorities that an identity's services shall name.
func (t *trustTask) rootsOf(st *identityState) string {
	if t.TLSDir == "home" {
		return st.Home + "/.postgresql/" + t.copyName()
	}
	return st.Base + "/root.crt"
}

// believed gives what an identity believes: by our own files, and by the copies that its services name.
func (st *identityState) believed() []believed {
	out := []believed{{st.entry(st.Base + "/root.crt").PEM, st.entry(st.Base + "/root.crl").PEM}}
	if now := st.filesNow(); now.Root != st.Base+"/root.crt" {
		out = append(out, believed{st.entry(now.Root).PEM, st.entry(now.CRL).PEM})
	}
	return out
}

// sources are the names of the files that an identity has of its own.
func (w *trustWork) sources() []string {
	if w.lists == nil {
		return []string{"root.crt"}
	}
	return []string{"root.crt", "root.crl"}
}

// content is what one of the sources shall hold.
func (w *trustWork) content(source string) []byte {
	if source == "root.crl" {
		return w.lists
	}
	return w.roots
}

// homeCopies plans the copies that the services name, and refuses what may not be written over. A list that they named and shall name no more goes at the end.
func (t *trustTask) homeCopies(h *Host, w *trustWork, a *anchors) error {
	if t.TLSDir != "home" {
		return nil
	}
	st, now := w.st, w.st.filesNow()
	for _, from := range w.sources() {
		name := t.copyName()
		if from == "root.crl" {
			name = listBeside(name)
		}
		e := st.entry(st.Home + "/.postgresql/" + name)
		if err := refuseEntry(h, e, st.UID); err != nil {
			return err
		}
		switch data := string(e.PEM); {
		case e.Kind == "dir":
			return fmt.Errorf("%w: %s on %s is a folder; remove it, or choose another name (file)", ErrRefused, e.Path, h.Name)
		case e.Kind == "absent" || e.Path == now.Root || e.Path == now.CRL || data == string(w.content(from)) || a.explain(h, e.PEM):
		case data != "" && data == string(st.entry(st.Base+"/"+from).PEM):
		case !t.mayReplace():
			return t.refuseForeign(h, e.Path)
		}
		w.copies = append(w.copies, from+":"+name)
	}
	if crl := st.entry(listBeside(w.files.Root)); w.lists == nil && crl.Kind == "file" && crl.Path == now.CRL {
		w.stale = append(w.stale, crl.Path)
		w.repair = append(w.repair, crl.Path+" that nothing uses")
	}
	return nil
}

// compareCopies fills what of the copies is not as wanted.
func (w *trustWork) compareCopies() {
	for _, word := range w.copies {
		from, name, _ := strings.Cut(word, ":")
		want := w.content(from)
		if e := w.st.entry(w.st.Home + "/.postgresql/" + name); e.Kind != "file" || string(e.PEM) != string(want) || e.Size != len(want) || e.Mode != 0o600 {
			w.repair = append(w.repair, "the copy "+e.Path)
		}
	}
}

// refuseTwoCopies refuses one file for database users of an OS user who do not believe the same.
func (t *trustTask) refuseTwoCopies(h *Host, all []*trustWork) error {
	seen := map[string]*trustWork{}
	for _, w := range all {
		other := seen[w.st.ID.OSUser]
		if t.TLSDir == "home" && other != nil && string(other.roots) != string(w.roots) {
			return fmt.Errorf("%w: %s and %s of OS user %s on %s believe different authorities, and tls_dir: home has one file for both: use tls_dir: own",
				ErrRefused, other.st.ID.DBUser, w.st.ID.DBUser, w.st.ID.OSUser, h.Name)
		}
		seen[w.st.ID.OSUser] = w
	}
	return nil
}
