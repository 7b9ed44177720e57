package inventory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name string) {
		if err := os.WriteFile(name, []byte("hosts: {a: {}}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(EnvInventory, "")
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "pgfleet init") {
		t.Errorf("nothing there: %v", err)
	}
	write("inventory.yaml")
	write("other.yaml")
	for flag, want := range map[string]string{"": "inventory.yaml", "other.yaml": "other.yaml"} {
		if got, err := Find(flag); got != want || err != nil {
			t.Errorf("Find(%q) = %q, %v", flag, got, err)
		}
	}
	t.Setenv(EnvInventory, "other.yaml")
	if got, err := Find(""); got != "other.yaml" || err != nil {
		t.Errorf("from the environment: %q, %v", got, err)
	}
	if got, err := Find("inventory.yaml"); got != "inventory.yaml" || err != nil {
		t.Errorf("the flag is stronger: %q, %v", got, err)
	}
	t.Setenv(EnvInventory, "gone.yaml")
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), EnvInventory) {
		t.Errorf("named by the environment and missing: %v", err)
	}
	if _, err := Find("."); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: %v", err)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "x.yaml"), hermetic)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	if _, err := Load(path, hermetic); !errors.As(err, &problems) {
		t.Errorf("got %v", err)
	}
}

// TestPrecedence lays one variable at every level and takes the strongest away, one by one.
func TestPrecedence(t *testing.T) {
	const text = `
vars: {v: all, ssh_port: 1}
hosts:
  db1: {roles: [db_server], groups: [child], vars: {v: host}, ssh_port: 5}
groups:
  late: {hosts: [db1], vars: {v: late, ssh_port: 4}}
  child: {vars: {v: child, ssh_port: 3}}
  parent: {children: [child], vars: {v: parent, ssh_port: 2}}
  last: {hosts: [db1], vars: {v: last, ssh_port: 6}}
`
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("Host db1\n  Port 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := hermetic
	opt.SSHConfig = config
	drop := func(text string, parts ...string) string {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Fatalf("%q is not there", p)
			}
			text = strings.Replace(text, p, "", 1)
		}
		return text
	}
	noHost := drop(text, ", vars: {v: host}, ssh_port: 5")
	noChild := drop(noHost, "vars: {v: child, ssh_port: 3}")
	noLast := drop(noChild, ", vars: {v: last, ssh_port: 6}")
	noParent := drop(noLast, ", vars: {v: parent, ssh_port: 2}")
	noLate := drop(noParent, ", vars: {v: late, ssh_port: 4}")
	none := drop(noLate, "vars: {v: all, ssh_port: 1}")
	for _, c := range []struct {
		name, text, want string
		vars             map[string]any
	}{
		{"command line", text, "e 8", map[string]any{"v": "e", "ssh_port": "8"}},
		{"host", text, "host 5", nil},
		{"child", noHost, "child 3", nil},
		{"last group", noChild, "last 6", nil},
		{"parent, later in the file", noLast, "parent 2", nil},
		{"first group", noParent, "late 4", nil},
		{"all", noLate, "all 1", nil},
		{"ssh_config", none, "<nil> 99", nil},
	} {
		opt.Vars = c.vars
		inv, err := Parse("f", []byte(c.text), opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		h := inv.Hosts[0]
		if got := fmt.Sprint(h.Vars["v"], " ", h.Target.Port); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	opt := hermetic
	opt.ConnectTimeout = 3 * time.Second
	opt.Vars = map[string]any{"ssh_prot": 1, "ssh_connect_timeout": "9s"}
	_, err := Parse("f", []byte("hosts: {a: {}}"), opt)
	if err == nil || !strings.Contains(err.Error(), "ssh_port") {
		t.Errorf("a wrong setting on the command line: %v", err)
	}
	delete(opt.Vars, "ssh_prot")
	inv, err := Parse("f", []byte("hosts: {a: {}}"), opt)
	if err != nil {
		t.Fatal(err)
	}
	if got := inv.Hosts[0].Target.ConnectTimeout; got != opt.ConnectTimeout {
		t.Errorf("connect timeout %s", got)
	}
}

// TestDefaultIdentities: without a word about keys, those that ssh would try are used, if they exist.
func TestDefaultIdentities(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(home, ".ssh", "id_ed25519")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := Parse("f", []byte("hosts: {a: {}, b: {ssh_identity_file: /k}}"), Options{Home: home, SSHConfig: "none", LocalUser: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	got := [][]string{inv.Hosts[0].Target.IdentityFiles, inv.Hosts[1].Target.IdentityFiles}
	if diff := cmp.Diff([][]string{{key}, {"/k"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHostNamesSayHowToWriteThem(t *testing.T) {
	for name, want := range map[string]string{"db1.example.net.": "write db1.example.net", "bücher.example.net": "xn--", "a b.": "neither a host name", ".": "neither a host name", "": "neither a host name"} {
		if err := checkHost(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}
