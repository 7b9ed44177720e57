package tasks

import (
	"slices"
	"strings"
	"testing"
)

// copied gives a cluster of Debian's whose configuration includes the settings of 14/main: its own, or by pg_upgradecluster.
func copied(major int, version string, running bool) *Cluster {
	conf := "/etc/postgresql/" + version + "/main/"
	return &Cluster{Major: major, Running: running, DataDir: "/var/lib/postgresql/" + version + "/main", ConfigFile: conf + "postgresql.conf", HBAFile: conf + "pg_hba.conf",
		Config: []byte("port = 5432\ninclude '/etc/pgfleet/14-main/pgfleet.conf' # pgfleet: keep this line last\n")}
}

// After pg_upgradecluster two clusters include the same settings file. It is that of the new one, as long as the old one is not started; what is kept of before is the old one's.
func TestClusterCopied(t *testing.T) {
	for name, c := range map[string]struct {
		old, next bool
		major     int
		want      string
	}{
		"upgraded":             {false, true, 15, "15"},
		"both stopped":         {false, false, 15, "15"},
		"gone back":            {true, false, 15, "14"},
		"both running":         {true, true, 15, "14 15 problem"},
		"of one version, both": {false, false, 14, "14 15 problem"},
	} {
		for _, turned := range []bool{false, true} {
			list := []*Cluster{copied(14, "14", c.old), copied(c.major, "15", c.next)}
			if turned {
				slices.Reverse(list)
			}
			var got []string
			problem := 0
			for _, c := range nameClusters(list) {
				got = append(got, strings.Split(c.DataDir, "/")[4])
				if c.Dir != "/etc/pgfleet/14-main" || c.ID != "14/main" {
					t.Errorf("%s: %s is %s in %s", name, c.DataDir, c.ID, c.Dir)
				}
				if strings.Contains(c.Problem, "stop the one that is not needed any more") {
					problem++
				}
			}
			slices.Sort(got)
			if problem == 2 {
				got = append(got, "problem")
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %v are looked at, %d with a problem", name, got, problem)
			}
		}
	}

	found := nameClusters([]*Cluster{copied(14, "14", false), copied(15, "15", true)})
	for _, id := range []string{"14/main", "15/main"} {
		if got, err := chooseClusters(&Host{Clusters: []string{id}}, found); err != nil || len(got) != 1 || got[0].Major != 15 {
			t.Errorf("clusters: [%s]: %v, %v", id, got, err)
		}
	}
	for _, c := range []struct{ path, want string }{
		{"/etc/postgresql/14/main/postgresql.conf", "/etc/postgresql/14/main/postgresql.conf"}, {"/etc/postgresql/14/main/pg_hba.conf", "/etc/postgresql/14/main/pg_hba.conf"},
		{"/etc/postgresql/15/main/pg_hba.conf", ""}, {"/etc/pgfleet/14-main/pgfleet.conf", ""},
	} {
		if got := strings.Join(OfOthers(found, []KeptCopy{{Path: c.path, dir: "/etc/pgfleet/14-main"}, {Path: c.path, dir: "/etc/pgfleet/13-main"}}), " "); got != c.want {
			t.Errorf("%s: of others are %q", c.path, got)
		}
	}
}
