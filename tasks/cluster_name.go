package tasks

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// baseDir is the folder of everything that pgfleet keeps on a host.
const baseDir = "/etc/pgfleet"

// settingsFile is the name of our settings file in a cluster's folder.
const settingsFile = "pgfleet.conf"

// checkPaths refuses places that no sane server has: they become words of programs that root runs, and lines of lists.
func (c *Cluster) checkPaths() {
	for what, p := range map[string]string{"data directory": c.DataDir, "postgresql.conf": c.ConfigFile, "pg_hba.conf": c.HBAFile, "pg_ident.conf": c.IdentFile,
		"folder of programs": c.BinDir, "socket folder": strings.TrimPrefix(c.SocketDir, "@")} {
		if p != "" && (!path.IsAbs(p) || path.Clean(p) != strings.TrimSuffix(p, "/") || strings.ContainsFunc(p, strange)) {
			c.problem(fmt.Sprintf("its %s is %q: pgfleet works only with absolute, clean paths of ordinary characters", what, p))
		}
	}
}

// strange are characters that pgfleet does not take in the path of a server's file.
func strange(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@,:=~% ", r)
}

// nameClusters gives each cluster its ID and folder. A cluster that includes our settings file already keeps the folder named there, so that a
// second cluster of the same name, found later, moves nothing. It gives those that are to be looked at: a cluster whose configuration was copied to a
// newer one (pg_upgradecluster), and which is not used any more, is not.
func nameClusters(list []*Cluster) []*Cluster {
	ours, strangers := splitStrangers(list)
	left := append(nameAmong(strangers), nameAmong(ours)...)
	return slices.DeleteFunc(list, func(c *Cluster) bool { return slices.Contains(left, c) })
}

func splitStrangers(list []*Cluster) (ours, strangers []*Cluster) {
	for _, c := range list {
		if c.Stranger {
			strangers = append(strangers, c)
		} else {
			ours = append(ours, c)
		}
	}
	return ours, strangers
}

// nameAmong gives those that are left alone.
func nameAmong(list []*Cluster) (left []*Cluster) {
	count := map[string]int{}
	for _, c := range list {
		c.ID = clusterID(c, false)
		count[c.ID]++
	}
	for _, c := range list {
		if count[c.ID] > 1 {
			c.ID = clusterID(c, true)
		}
		if dir := includedDir(c.Config); dir != "" {
			c.ID = strings.Replace(path.Base(dir), "-", "/", 1)
		}
		c.Dir = baseDir + "/" + strings.Replace(c.ID, "/", "-", 1)
	}
	taken := map[string]*Cluster{}
	for _, c := range list {
		other := taken[c.ID]
		if other == nil {
			taken[c.ID] = c
			continue
		}
		copied := includedDir(c.Config) != "" && includedDir(c.Config) == includedDir(other.Config)
		old := unused(c, other)
		if copied && old != nil {
			left = append(left, old)
			if old == other {
				taken[c.ID] = c
			}
			continue
		}
		for c, other := range map[*Cluster]*Cluster{c: other, other: c} {
			if copied {
				c.problem("its postgresql.conf includes the same file " + c.Dir + "/" + settingsFile + " as that of the cluster in " + other.DataDir + ", of which one is a copy: stop the one that is not needed any more")
			} else {
				c.problem("it has the same name as the cluster in " + other.DataDir)
			}
		}
	}
	return left
}

// unused is that one of two clusters which does not run, or, where both are stopped, that of the older version; nil: both are needed.
func unused(a, b *Cluster) *Cluster {
	switch {
	case a.Running && b.Running, a.Running == b.Running && a.Major == b.Major:
		return nil
	case a.Running, !b.Running && a.Major > b.Major:
		return b
	}
	return a
}

// clusterID is "15/main" for /etc/postgresql/15/main, else the major version and the last part (long: the last two parts) of the data directory.
func clusterID(c *Cluster, long bool) string {
	file := cmp.Or(c.patroniFile, c.ConfigFile)
	parts := strings.Split(strings.TrimPrefix(file, "/etc/postgresql/"), "/")
	if strings.HasPrefix(file, "/etc/postgresql/") && len(parts) == 3 && parts[2] == "postgresql.conf" {
		return parts[0] + "/" + parts[1]
	}
	name := path.Base(c.DataDir)
	if long {
		name = path.Base(path.Dir(c.DataDir)) + "-" + name
	}
	return strconv.Itoa(c.Major) + "/" + strings.Map(plainByte, name)
}

// plainByte keeps what may stand in a folder's name without quoting.
func plainByte(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
		return r
	}
	return '_'
}

// ourFolder are names of folders that nameClusters gives.
var ourFolder = regexp.MustCompile(`^[0-9]+-[A-Za-z0-9._-]+$`)

// includedDir gives the folder of ours whose settings file a postgresql.conf includes, "" when none.
func includedDir(config []byte) string {
	list, _ := postgres.ReadConfig(config)
	for _, a := range list {
		dir := path.Dir(a.Value)
		if postgres.IsInclude(a.Name) && path.Dir(dir) == baseDir && path.Base(a.Value) == settingsFile && ourFolder.MatchString(path.Base(dir)) {
			return dir
		}
	}
	return ""
}
