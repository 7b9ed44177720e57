package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/pgfleet/pgfleet/"

// doors says which rooms a room may import; a room may always import its own subfolders. docs/architecture.md shows the same.
var doors = map[string][]string{
	"transport":               {},
	"transport/ssh":           {"transport"},
	"transport/shell":         {"transport"},
	"transport/transporttest": {"transport"},
	"tasks":                   {"transport", "tasks"},
	"tasks/pki":               {},
	"tasks/postgres":          {},
	"tasks/survey":            {"tasks/pki", "tasks/postgres"},
	"tasks/backup":            {"tasks/pki"},
	"tasks/desk":              {"tasks/pki"},
	"inventory":               {"transport", "tasks/pki"},
	"playbooks":               {"playbooks", "inventory", "tasks", "transport"},
	"playbooks/events":        {},
	"lab":                     {"lab", "inventory"},
	"lab/labtest":             {"lab", "transport"},
	"bench":                   {"lab"},
	"bench/scale":             {"transport/shell", "tasks/postgres"},
	"cmd":                     {""},
}

// only says which rooms may import a library.
var only = map[string][]string{
	"golang.org/x/crypto/ssh": {"transport/ssh", "transport/transporttest", "bench/scale"},
	"github.com/pkg/sftp":     {"transport/ssh"},
	"github.com/urfave/cli":   {"cmd"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestDoors(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	packages := 0
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		room := roomOf(t, strings.TrimPrefix(p.ImportPath, module))
		for _, imp := range p.Imports {
			checkImport(t, p.ImportPath, room, imp)
		}
	}
	if packages < len(doors)-1 {
		t.Fatalf("only %d packages seen", packages)
	}
}

// roomOf gives the room with the longest name that a package lies in.
func roomOf(t *testing.T, path string) string {
	best := ""
	for room := range doors {
		if (path == room || strings.HasPrefix(path, room+"/")) && len(room) > len(best) {
			best = room
		}
	}
	if best == "" {
		t.Errorf("%s lies in no room: add it to doors and to docs/architecture.md", path)
	}
	return best
}

func checkImport(t *testing.T, pkg, room, imp string) {
	t.Helper()
	for lib, rooms := range only {
		if strings.HasPrefix(imp, lib) && !inRooms(rooms, room) {
			t.Errorf("%s imports %s, which only %s may", pkg, imp, strings.Join(rooms, ", "))
		}
	}
	path, ours := strings.CutPrefix(imp, module)
	if !ours || path == room || strings.HasPrefix(path, room+"/") {
		return
	}
	if !inRooms(doors[room], path) {
		t.Errorf("%s imports %s; %s may import %q", pkg, imp, room, doors[room])
	}
}

func inRooms(rooms []string, path string) bool {
	for _, r := range rooms {
		if r == "" || path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}
