package playbooks

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pgfleet/pgfleet/tasks"
)

//go:embed *.yaml
var shipped embed.FS

// Shipped gives the names of the playbooks that are part of pgfleet, sorted: "mtls".
func Shipped() []string {
	files, _ := fs.Glob(shipped, "*.yaml") // the pattern is a constant, so there is no error
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}

// ShippedSource gives the text of a playbook that is part of pgfleet, by name ("mtls") or by its place in the repository ("playbooks/mtls.yaml").
func ShippedSource(name string) ([]byte, bool) {
	name = strings.TrimSuffix(strings.TrimPrefix(path.Clean(strings.ReplaceAll(name, `\`, "/")), "playbooks/"), ".yaml")
	data, err := shipped.ReadFile(name + ".yaml")
	return data, err == nil
}

// LoadShipped reads a playbook that is part of pgfleet, whatever files there are.
func LoadShipped(name string) (*Playbook, error) {
	source, ok := ShippedSource(name)
	if !ok {
		return nil, fmt.Errorf("pgfleet brings no playbook %s", name)
	}
	return Parse("playbooks/"+name+".yaml", source)
}

// Load reads a playbook: a file, or, when there is no such file, a shipped one. Mistakes in it are inventory.Problems.
func Load(nameOrPath string) (*Playbook, error) {
	data, err := readPlaybook(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		if source, ok := ShippedSource(nameOrPath); ok {
			return Parse(nameOrPath, source)
		}
		known := map[string]bool{}
		for _, name := range Shipped() {
			known[name] = true
		}
		return nil, fmt.Errorf("read playbook %s: there is no such file, and pgfleet brings none of that name (it brings: %s)%s",
			nameOrPath, strings.Join(Shipped(), ", "), tasks.Suggest(nameOrPath, known))
	}
	if err != nil {
		return nil, fmt.Errorf("read playbook: %w", err)
	}
	return Parse(nameOrPath, data)
}

// readPlaybook reads a file, no more of it than shows that it is too large for a playbook.
func readPlaybook(path string) ([]byte, error) {
	const largest = 4 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err == nil && len(data) > largest {
		err = fmt.Errorf("%s is larger than %d MiB", path, largest>>20)
	}
	return data, err
}
