package tasks

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
	"github.com/pgfleet/pgfleet/transport"
)

//go:embed undo_list.sh
var undoListProgram string

// KeyCopies is the view's key for the lists of files that are kept of before runs.
const KeyCopies = "copies"

// CopiesProbe lists the files of before runs that are kept on a server, keyed KeyCopies.
func CopiesProbe() transport.Step {
	return transport.Step{Key: KeyCopies, Shell: undoListProgram, Probe: true}
}

// KeptCopy is one of the files that a rollback puts back.
type KeptCopy struct {
	Path string
	// Missing: it was not there before.
	Missing bool
	// Theirs is a digest of what in the copy is not pgfleet's, "" where none was made; see theirs.
	Theirs string

	// dir is the folder of the cluster that it was kept for.
	dir string
}

// String tells what a rollback does with the file.
func (k KeptCopy) String() string {
	switch {
	case k.Ours() && k.Missing:
		return "empty " + k.Path + " (it was not there)"
	case k.Missing:
		return "remove " + k.Path + " (it was not there)"
	}
	return "put back " + k.Path
}

// Ours: it is pgfleet's settings file.
func (k KeptCopy) Ours() bool { return path.Base(k.Path) == settingsFile }

// CopiedFiles gives the files of a host that a rollback to before a run puts back, each as it was kept first since then. The error is that of the view, or says that
// the probe's answer cannot be read.
func CopiedFiles(h *Host, run string) ([]KeptCopy, error) {
	r, err := h.View.Get(KeyCopies)
	if err != nil {
		return nil, err
	}
	if r.Err != nil {
		return nil, fmt.Errorf("list the copies kept on %s: %w", h.Name, r.Err)
	}
	var out []KeptCopy
	seen, since := map[string]bool{}, map[string]bool{}
	for copied := range strings.SplitSeq(strings.TrimSpace(string(r.Stdout)), "\n\n") {
		folder, manifest, _ := strings.Cut(copied, "\n")
		// What a run changed after it was proved has a copy of its own: RUN~2. What later runs changed comes back too.
		of, _, _ := strings.Cut(path.Base(folder), "~")
		since[path.Dir(folder)] = since[path.Dir(folder)] || of == run
		if !since[path.Dir(folder)] {
			continue
		}
		files, err := readManifest(manifest)
		if err != nil {
			return nil, fmt.Errorf("list the copies kept on %s: %s/manifest: %w", h.Name, folder, err)
		}
		for _, f := range files {
			if !seen[f.Path] {
				seen[f.Path] = true
				f.dir = path.Dir(path.Dir(folder))
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// readManifest reads what the probe says of one folder: a line "number mode user group path" for each file, and "theirs number digest".
func readManifest(text string) (out []KeptCopy, err error) {
	numbers := map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.SplitN(line, " ", 5)
		switch {
		case len(fields) == 3 && fields[0] == "theirs":
			if i, ok := numbers[fields[1]]; ok {
				out[i].Theirs = fields[2]
			}
		case len(fields) == 5:
			if fields[0] != "-" {
				numbers[fields[0]] = len(out)
			}
			out = append(out, KeptCopy{Path: fields[4], Missing: fields[0] == "-"})
		default:
			return nil, fmt.Errorf("line %q cannot be read", line)
		}
	}
	return out, nil
}

// ChangedByOthers gives those of the files that hold other lines now, besides pgfleet's, than they would get back.
func ChangedByOthers(clusters []*Cluster, files []KeptCopy) (out []string) {
	now := map[string][]byte{}
	for _, c := range clusters {
		now[c.ConfigFile], now[c.HBAFile], now[c.IdentFile] = c.Config, c.HBA, c.Ident
	}
	for _, f := range files {
		if text, ok := now[f.Path]; ok && f.Theirs != "" && f.Theirs != theirs(text) {
			out = append(out, f.Path)
		}
	}
	return out
}

// OfOthers gives those of the files that are the configuration of another cluster than the one that they were kept for: pg_upgradecluster has copied it to a newer one since,
// which goes on with the settings of the older.
func OfOthers(clusters []*Cluster, files []KeptCopy) (out []string) {
	for _, c := range clusters {
		for _, f := range files {
			named := slices.Contains([]string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"}, path.Base(f.Path))
			if f.dir == c.Dir && named && !slices.Contains([]string{c.ConfigFile, c.HBAFile, c.IdentFile}, f.Path) {
				out = append(out, f.Path)
			}
		}
	}
	return out
}

// theirs is a digest of what in a configuration file is not pgfleet's, as undo_list.sh makes it.
func theirs(text []byte) string {
	var b strings.Builder
	ours := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		ours = ours || strings.HasPrefix(line, "# BEGIN pgfleet")
		if !ours && !strings.HasSuffix(line, postgres.IncludeMark) {
			b.WriteString(line + "\n")
		}
		ours = ours && !strings.HasPrefix(line, "# END pgfleet")
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))
}
