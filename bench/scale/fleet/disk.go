package fleet

import (
	"path"
	"sort"
	"strings"
	"time"
)

// account is an OS user of every simulated host.
type account struct {
	name     string
	uid, gid int
}

var (
	root     = account{"root", 0, 0}
	postgres = account{"postgres", 115, 122}
	app      = account{"app", 1001, 1001}
	accounts = map[string]account{"root": root, "postgres": postgres, "app": app}
)

func accountOf(id int) account {
	for _, a := range accounts {
		if a.uid == id {
			return a
		}
	}
	return root
}

func groupOf(id int) string {
	for _, a := range accounts {
		if a.gid == id {
			return a.name
		}
	}
	return "root"
}

// disk is a host's files by absolute path: those that pgfleet looks at or writes, nothing else. Of a private key only the public half is kept.
type disk map[string]*file

type file struct {
	folder bool
	owner  account
	group  string
	mode   uint32
	mtime  time.Time
	data   []byte
}

// dir makes a folder and those above it.
func (d disk) dir(p string, owner account, mode uint32) {
	for p != "/" {
		if d[p] == nil {
			d[p] = &file{folder: true, owner: owner, group: owner.name, mode: mode, mtime: time.Now()}
		}
		if p == "/home/app" || p == "/etc" || p == "/var/lib" {
			return
		}
		p = path.Dir(p)
	}
}

func (d disk) put(p string, data []byte, owner account, mode uint32) *file {
	f := &file{owner: owner, group: owner.name, mode: mode, mtime: time.Now(), data: data}
	d[p] = f
	return f
}

// text gives a file's bytes, nil when there is none.
func (d disk) text(p string) []byte {
	if f := d[p]; f != nil {
		return f.data
	}
	return nil
}

// below gives the names directly in a folder, sorted.
func (d disk) below(folder string) []string {
	var out []string
	for p := range d {
		if path.Dir(p) == folder {
			out = append(out, path.Base(p))
		}
	}
	sort.Strings(out)
	return out
}

// remove removes a path and what is below it.
func (d disk) remove(p string) {
	delete(d, p)
	for other := range d {
		if strings.HasPrefix(other, p+"/") {
			delete(d, other)
		}
	}
}

// move is rename(2).
func (d disk) move(from, to string) bool {
	f := d[from]
	if f == nil {
		return false
	}
	delete(d, from)
	d[to] = f
	return true
}
