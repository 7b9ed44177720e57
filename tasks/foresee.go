package tasks

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// foreseeCluster notes what a change on its way will have made of a cluster, and that files of before this run are kept.
func (v *View) foreseeCluster(which *Cluster, edit func(c *Cluster)) {
	dir := which.DataDir
	v.Foresee(KeyPostgres, func(seen any) {
		for _, c := range seen.([]*Cluster) {
			if c.DataDir == dir {
				edit(c)
			}
		}
	})
}

// foreseeCopy adds the copy that undoStep makes. One that this run was about to prove is proved by now: changes after it get a new one.
func (c *Cluster) foreseeCopy(run string) {
	for _, k := range c.Copies {
		if k.Run == run && k.State == "unproved" && k.Proving == "" {
			return
		}
	}
	c.Copies = append(c.Copies, Copy{Run: run, State: "unproved"})
}

// foreseeSettings is settingsSteps' effect: our file has these settings besides its others, and a reload would bring them into force.
func (c *Cluster) foreseeSettings(run string, set map[string]string) {
	all := mergeSettings(c, set)
	c.Ours, c.OursTime = postgres.RenderSettings(all), c.soon()
	file := c.Dir + "/" + settingsFile
	if !includedLast(c) {
		c.Config = append(slices.Clone(c.Config), "\n"+c.includeLine()+"\n"...)
	}
	for _, name := range postgres.Names(all) {
		applied := true
		for i := range c.Lines {
			if l := &c.Lines[i]; l.Name == name && path.Base(l.File) == "postgresql.auto.conf" {
				applied = false // ALTER SYSTEM wins over every file
			} else if l.Name == name {
				l.Applied = false
			}
		}
		c.Lines = append(c.Lines, FileLine{File: file, Name: name, Value: all[name], Applied: applied})
		if !c.Running {
			c.Settings[name] = Setting{Value: all[name]}
		}
	}
	c.foreseeCopy(run)
}

// soon is the time of a file that is about to be written: later than the last reload, which may lie in the same second as the look.
func (c *Cluster) soon() time.Time {
	if c.Now.After(c.LoadTime) {
		return c.Now
	}
	return c.LoadTime.Add(time.Microsecond)
}

// foreseeFile is a file of root's that the server reads.
func (c *Cluster) foreseeFile(path string, mode uint32, data []byte) {
	c.Files[path] = HostFile{Path: path, Owner: "root", Group: c.OSGroup, Mode: mode, ModTime: c.soon(), Bytes: data, Readable: true}
}

// foreseeBeside is a file of the server's OS user in the data directory.
func (c *Cluster) foreseeBeside(file string, data []byte) {
	f := HostFile{Path: file, Owner: c.OSUser, Group: c.OSGroup, Mode: 0o600, ModTime: c.soon(), Bytes: data, Readable: true}
	c.Files[file], c.Beside[path.Base(file)] = f, f
}

// foreseeHBA is the effect of hbaSteps on pg_hba.conf.
func (c *Cluster) foreseeHBA(run string, text []byte) {
	f := c.ConfigFiles[c.HBAFile]
	f.Bytes, f.ModTime = text, c.soon()
	c.ConfigFiles[c.HBAFile], c.HBA = f, text
	c.foreseeCopy(run)
}

// foreseeRoles is the effect of rolesSQL.
func (c *Cluster) foreseeRoles(list []roleWork) {
	for _, w := range list {
		i := slices.IndexFunc(c.Roles, func(r Role) bool { return r.Name == w.id.DBUser })
		if i < 0 {
			i = len(c.Roles)
			c.Roles = append(c.Roles, Role{Name: w.id.DBUser})
		}
		r := &c.Roles[i]
		r.Login, r.Replication = true, r.Replication || w.replication
		if w.password {
			r.HasPassword, r.Scram = true, true
		}
	}
}

// foresee is the effect of clientClosing on what an identity's probe sees.
func (w *trustWork) foresee(l *look) {
	base := w.st.Base
	l.put(&entry{Kind: "dir", Path: w.st.Home, UID: l.UID, Mode: 0o700})
	l.put(&entry{Kind: "dir", Path: base, UID: l.UID, Mode: 0o700})
	l.Listed[base] = true
	file := func(path string, data []byte) {
		l.put(&entry{Kind: "file", Path: path, UID: l.UID, Mode: 0o600, Size: len(data), PEM: data, Text: string(data)})
	}
	file(base+"/root.crt", w.roots)
	if w.lists != nil {
		file(base+"/root.crl", w.lists)
	}
	file(base+"/pgfleet.env", []byte(w.st.environment(w.files)))
	for _, word := range w.copies {
		from, name, _ := strings.Cut(word, ":")
		file(w.st.Home+"/.postgresql/"+name, w.content(from))
	}
	for _, path := range w.stale {
		l.put(&entry{Kind: "absent", Path: path})
	}
	l.Block, l.Markers = w.block, ""
	if w.block != "" {
		l.Markers = "be"
	}
}

// put replaces what is known of a path.
func (l *look) put(e *entry) {
	if l.Entries[e.Path] == nil {
		l.Paths = append(l.Paths, e.Path)
	}
	l.Entries[e.Path] = e
}
