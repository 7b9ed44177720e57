package tasks

import (
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// mayBeAbsent tells why a setting cannot be taken out of our file; "" when it can.
func (t *postgresSettings) mayBeAbsent(name string) string {
	_, set := t.Settings[name]
	switch {
	case set:
		return name + " is set beside it"
	case name != strings.ToLower(name):
		return name + " is written in lower case: " + strings.ToLower(name)
	case name == "ssl":
		return "ssl: say ssl: off, which is checked for what it means"
	case slices.Contains(tlsFiles, name):
		return name + " is kept by the tasks certificate and trust"
	}
	if err := postgres.CheckSettingName(name); err != nil {
		return err.Error()
	}
	return ""
}

// forVersion is the task with the names that a version has.
func (t *postgresSettings) forVersion(major int) *postgresSettings {
	out := &postgresSettings{Settings: postgres.ForVersion(t.Settings, major)}
	for _, name := range t.Absent {
		out.Absent = append(out.Absent, postgres.Canonical(name, major))
	}
	return out
}

// without gives the cluster with some settings taken out of our file, and those that were in it; the cluster itself when none was.
func (c *Cluster) without(names []string) (out *Cluster, gone []string) {
	ours, file := mergeSettings(c, nil), c.Dir+"/"+settingsFile
	for _, name := range names {
		if _, ok := ours[name]; ok && !slices.Contains(gone, name) {
			gone = append(gone, name)
			delete(ours, name)
		}
	}
	if len(gone) == 0 || c.writer(c.Config) != "" {
		return c, nil
	}
	less := *c
	less.Ours = postgres.RenderSettings(ours)
	less.Lines = slices.DeleteFunc(slices.Clone(c.Lines), func(l FileLine) bool { return l.File == file && slices.Contains(gone, l.Name) })
	for _, name := range gone {
		last := -1
		for i, l := range less.Lines {
			if l.Name == name && l.Error == "" && (last < 0 || path.Base(less.Lines[last].File) != "postgresql.auto.conf") {
				last = i
			}
		}
		if last >= 0 {
			less.Lines[last].Applied = true
		}
	}
	return &less, gone
}

// inWords says which settings are set, and which are taken out.
func inWords(set, gone []string) string {
	var out []string
	if len(set) > 0 {
		out = append(out, "set "+strings.Join(set, ", "))
	}
	if len(gone) > 0 {
		out = append(out, "take out "+strings.Join(gone, ", "))
	}
	return strings.Join(out, " and ")
}
