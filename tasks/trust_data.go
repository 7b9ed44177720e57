package tasks

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// tls_dir: data. The settings name copies in the data directory, which one rename each replaces while the server may be told to read them at any moment; our own
// files in /etc/pgfleet stay as what they are compared with, and what tells of a copy that was lost.

//go:embed trust_copy.sh
var trustCopyProgram string

// beside gives what is in the data directory under the name of a file there; ok: something is.
func (c *Cluster) beside(file string) (f HostFile, ok bool) {
	if path.Dir(file) != c.DataDir {
		return f, false
	}
	f, ok = c.Beside[path.Base(file)]
	return f, ok
}

// named gives what a file that our settings name holds. Our own is told as root saw it, another one as the server's OS user did; of a copy that is gone or
// broken, the only one of our files with the prefix tells.
func (c *Cluster) named(l *look, file, prefix string) []byte {
	if file == "" || strings.HasPrefix(file, c.Dir+"/") {
		return l.entry(file).PEM
	}
	data := c.Files[c.path(file)].Bytes
	if f, ok := c.beside(file); ok && f.Link == "" {
		data = f.Bytes
	}
	_, err := pki.ParseCertificates(data)
	if prefix == "crl-" {
		_, err = pki.ParseCRLs(data)
	}
	if err != nil {
		return c.onlyMaster(l, prefix)
	}
	return data
}

// onlyMaster gives the content of our own file with a prefix, nil when there are several: a run was stopped.
func (c *Cluster) onlyMaster(l *look, prefix string) (data []byte) {
	n := 0
	for _, name := range l.below(c.Dir) {
		if strings.HasPrefix(name, prefix) {
			n++
			data = l.entry(c.Dir + "/" + name).PEM
		}
	}
	if n != 1 {
		return nil
	}
	return data
}

// listsLeft gives the lists that the last run left, which settings that name none, or a changed copy, would hide: the copy's, and those of our own file.
func (t *trustTask) listsLeft(c *Cluster, l *look) [][]byte {
	if t.TLSDir != "data" {
		return nil
	}
	return [][]byte{c.named(l, c.DataDir+"/"+listBeside(t.copyName()), "crl-"), c.onlyMaster(l, "crl-")}
}

// placeCopies has the settings name copies, and refuses what may not be written over.
func (t *trustTask) placeCopies(h *Host, w *serverTrust, l *look, a *anchors) error {
	w.set, w.foreign = map[string]string{}, map[string]bool{}
	for _, name := range trustSettings {
		master, ok := w.masters[name]
		if master == "" {
			if ok {
				w.set[name] = ""
			}
			continue
		}
		file := w.c.DataDir + "/" + t.copyName()
		if name == "ssl_crl_file" {
			file = listBeside(file)
		}
		w.set[name] = file
		f, ok := w.c.beside(file)
		switch {
		case !ok:
		case f.Link != "":
			return fmt.Errorf("%w: %s on %s is a symbolic link to %s: nothing is written through it; remove it", ErrRefused, file, h.Name, f.Link)
		case w.oldSet[name] == file || string(f.Bytes) == string(w.content(name)) || a.explain(h, f.Bytes) || w.c.madeBefore(l, f.Bytes):
		case !t.mayReplace():
			return t.refuseForeign(h, file)
		default:
			w.foreign[name] = true
		}
	}
	return nil
}

// madeBefore tells whether one of our own files has this content: a run that was stopped has put it where it is.
func (c *Cluster) madeBefore(l *look, data []byte) bool {
	for _, name := range l.below(c.Dir) {
		if e := l.entry(c.Dir + "/" + name); len(e.PEM) > 0 && string(e.PEM) == string(data) {
			return true
		}
	}
	return false
}

// copyDiffers tells whether the copy of a setting is not as wanted.
func (w *serverTrust) copyDiffers(name string) bool {
	f, ok := w.c.beside(w.set[name])
	return !ok || f.Link != "" || string(f.Bytes) != string(w.content(name)) || f.Owner != w.c.OSUser || f.Mode != 0o600
}

// install puts the copies in place, and the settings that name them in force. Stopped between any two of its steps, a server that starts has a list for every
// authority that it believes.
func (w *serverTrust) install(h *Host, settings []transport.Step) []transport.Step {
	if !w.differ {
		return settings
	}
	steps := []transport.Step{undoStep(h, w.c, w.c.Dir+"/"+settingsFile, w.c.ConfigFile, w.set["ssl_ca_file"], listBeside(w.set["ssl_ca_file"]))}
	if w.lists != nil {
		lists := w.masters["ssl_crl_file"]
		if w.union != nil {
			lists = listsFile(w.c, w.union)
			steps = append(steps, writeStep("", lists, 0o644, w.union))
		}
		steps = append(steps, w.copyStep("ssl_crl_file", lists))
	}
	roots := w.copyStep("ssl_ca_file", w.masters["ssl_ca_file"])
	// Where the authorities in force are replaced, another file of lists than today's is in force before (it has those of old and new), or none.
	if was := w.c.upcomingPath("ssl_crl_file"); w.c.upcomingPath("ssl_ca_file") == w.set["ssl_ca_file"] && was != "" && was != w.set["ssl_crl_file"] {
		steps = append(append(steps, settings...), roots)
	} else {
		steps = append(append(steps, roots), settings...)
	}
	if w.union != nil {
		steps = append(steps, w.copyStep("ssl_crl_file", w.masters["ssl_crl_file"]))
	}
	return steps
}

// copyStep has the server's OS user copy one of our files into its data directory.
func (w *serverTrust) copyStep(name, from string) transport.Step {
	keep := ""
	if w.foreign[name] {
		keep = "copy"
	}
	return transport.Step{Key: "copy to " + w.set[name], User: w.c.OSUser, Shell: certificateCheckProgram + trustCopyProgram, Argv: []string{from, w.set[name], keep}}
}
