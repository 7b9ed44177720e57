package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// Limits on what one inventory may hold; beyond them lies a typing mistake.
const (
	maxFileBytes = 16 << 20
	maxHosts     = 20000
)

// EnvInventory names the variable that says where the inventory is when no -i was given.
const EnvInventory = "PGFLEET_INVENTORY"

// Find gives the path of the inventory to use: the value of -i, else $PGFLEET_INVENTORY, else ./inventory.yaml. The error says
// which of them was looked for and what to do.
func Find(flag string) (string, error) {
	path, source := flag, "given with -i"
	if path == "" {
		path, source = os.Getenv(EnvInventory), "named by "+EnvInventory
	}
	if path == "" {
		path, source = "inventory.yaml", "in this folder"
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("no inventory %s (%s); `pgfleet init` writes one to start from, -i FILE names another", path, source)
	case err != nil:
		return "", fmt.Errorf("open inventory (%s): %w", source, err)
	case info.IsDir():
		return "", fmt.Errorf("inventory %s (%s) is a folder; name the YAML file in it", path, source)
	}
	return path, nil
}

// Load reads and checks an inventory file. Mistakes in it come all at once as Problems; any other error is about reading the file.
func Load(path string, opt Options) (*Inventory, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, Problems{{File: path, Text: fmt.Sprintf("is larger than %d MiB", maxFileBytes>>20)}}
	}
	return Parse(path, data, opt)
}

// Parse reads and checks the text of an inventory. file is its name for messages, and relative paths in it count from file's
// folder. The error is Problems, in the order of the lines. Files named by the inventory (keys, known hosts) are not read; the
// user's ssh_config is.
func Parse(file string, data []byte, opt Options) (*Inventory, error) {
	r := newReader(file, opt)
	doc := r.read(data)
	if doc == nil {
		return nil, r.sorted()
	}
	r.document(doc)
	inv := r.assemble()
	if len(r.problems) > 0 {
		return nil, r.sorted()
	}
	return inv, nil
}

// reader turns the YAML tree into drafts and collects what is wrong.
type reader struct {
	file, dir string
	opt       Options
	problems  Problems

	vars        settings
	hosts       []*draft
	groups      []*group
	authorities []*authorityDraft
	byName      map[string]*draft
}

func newReader(file string, opt Options) *reader {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		dir = filepath.Dir(file)
	}
	if opt.Home == "" {
		opt.Home, _ = os.UserHomeDir() // without one, ~ is refused where it is used
	}
	return &reader{file: file, dir: dir, opt: opt}
}

func (r *reader) add(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// sorted gives the problems by line, each once, those of other files (ssh_config) last.
func (r *reader) sorted() Problems {
	sort.SliceStable(r.problems, func(i, j int) bool {
		a, b := r.problems[i], r.problems[j]
		if a.File != b.File {
			return a.File == r.file || b.File != r.file && a.File < b.File
		}
		return a.Line < b.Line
	})
	seen := map[Problem]bool{}
	var out Problems
	for _, p := range r.problems {
		if !seen[p] {
			out = append(out, p)
		}
		seen[p] = true
	}
	return out
}
