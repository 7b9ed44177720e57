package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/cmd"
	"github.com/pgfleet/pgfleet/cmd/printers"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// psqlPath is PostgreSQL's program itself.
const psqlPath = "/usr/lib/postgresql/15/bin/psql"

// walk is one layout's way through the walkthrough.
type walk struct {
	layout
	lab       *lab.Lab
	inventory string
	addr      string
	vars      map[string]any
	accept    bool
	// hba is the server's pg_hba.conf as it was.
	hba       string
	passwords map[string]string
	cases     map[string][]loginCase
}

func newWalk(t *testing.T, l *lab.Lab, lay layout) *walk {
	t.Helper()
	w := &walk{layout: lay, lab: l, addr: address(t, l, "db1"), vars: map[string]any{"scope": lay.scope},
		passwords: map[string]string{"dbuser1": "first'one \\ 1", "digoal": "second $two"}}
	for _, v := range lay.vars {
		name, value, _ := strings.Cut(v, "=")
		w.vars[name] = value
	}
	w.inventory = w.writeInventory(t)
	if lay.home {
		// Of the article's two roles only dbuser1 has a certificate; the other one is there already, and not declared.
		w.sqlFrom(t, "create role digoal login password '"+strings.ReplaceAll(w.passwords["digoal"], "'", "''")+"'")
	}
	w.hba = labtest.Exec(t, l, "db1", "cat", "/etc/postgresql/15/main/pg_hba.conf")
	text, err := os.ReadFile("testdata/walkthrough/logins.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &w.cases); err != nil {
		t.Fatal(err)
	}
	return w
}

func address(t *testing.T, l *lab.Lab, host string) string {
	t.Helper()
	h, ok := l.Host(host)
	if !ok {
		t.Fatalf("the lab has no host %s", host)
	}
	return h.Addr
}

// inventoryData is what the inventory's template asks for.
type inventoryData struct {
	t    *testing.T
	w    *walk
	dir  string
	Home bool
}

func (d inventoryData) Address(host string) string { return address(d.t, d.w.lab, host) }
func (d inventoryData) Key() string                { return filepath.Join(d.w.lab.Folder(), "id_ed25519") }
func (d inventoryData) KnownHosts() string         { return filepath.Join(d.w.lab.Folder(), "known_hosts") }

// Password writes a user's password to a file and gives its path.
func (d inventoryData) Password(user string) (string, error) {
	path := filepath.Join(d.dir, user+".password")
	return path, os.WriteFile(path, []byte(d.w.passwords[user]+"\n"), 0o600)
}

func (w *walk) writeInventory(t *testing.T) string {
	t.Helper()
	tmpl, err := template.ParseFiles("testdata/walkthrough/inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	dir := t.TempDir()
	if err := tmpl.Execute(&text, inventoryData{t, w, dir, w.home}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *walk) playbook() string { return "testdata/walkthrough/walkthrough.yaml" }

// entries are the lines of /etc/hosts that the client wants: the server's name and further ones.
func (w *walk) entries(further ...string) map[string]string {
	return map[string]string{w.addr: strings.Join(append([]string{"db1.example.net"}, further...), " ")}
}

// run gives a command line of pgfleet to its Main and returns exit code and output.
func (w *walk) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	args = append(args, "-i", w.inventory, "--ssh-config", "none")
	if args[0] == "run" {
		for _, name := range slices.Sorted(maps.Keys(w.vars)) {
			value, err := json.Marshal(w.vars[name])
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, "-e", name+":="+string(value))
		}
		if w.accept {
			args = append(args, "--accept-refusals")
		}
	}
	return runPgfleet(t, args...)
}

// runPgfleet runs a command line without a terminal.
func runPgfleet(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := cmd.Main(args, &cmd.System{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }, Now: time.Now,
		Size:       func(any) (int, int, bool) { return 0, 0, false },
		ReadSecret: func(func()) ([]byte, error) { return nil, errors.New("no terminal") }})
	return code, out.String()
}

// apply runs the playbook until it is as wanted, then again to see that nothing is left to do.
func (w *walk) apply(t *testing.T, flags ...string) {
	t.Helper()
	code, out := w.run(t, append([]string{"run", w.playbook(), "-v"}, flags...)...)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	for _, secret := range w.passwords {
		if strings.Contains(out, secret) {
			t.Errorf("a password is in the output:\n%s", out)
		}
	}
	w.nothingToDo(t, flags...)
}

// nothingToDo runs the playbook again.
func (w *walk) nothingToDo(t *testing.T, flags ...string) {
	t.Helper()
	code, out := w.run(t, append([]string{"run", w.playbook(), "-o", "json"}, flags...)...)
	doc := readDocument(t, out)
	if code != 0 || doc.ExitCode != 0 {
		t.Fatalf("second run: exit %d:\n%s", code, out)
	}
	for _, task := range doc.Tasks {
		if task.Kind != "ok" {
			t.Errorf("second run: %s %s is %s: %s %s\n%s", task.Host, task.Task, task.Kind, task.Summary, task.Reason, task.Diff)
		}
	}
}

// readDocument reads what -o json printed; notices on standard error may stand before it.
func readDocument(t *testing.T, out string) printers.Document {
	t.Helper()
	begin := strings.Index(out, "{\n")
	if begin < 0 {
		t.Fatalf("no JSON in:\n%s", out)
	}
	var doc printers.Document
	if err := json.Unmarshal([]byte(out[begin:]), &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return doc
}
