package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

func do(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(append([]string{"pgfleet-lab"}, args...), &out, &errs); got != code {
		t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, errs.String())
	}
	return out.String(), errs.String()
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"fly", `unknown command "fly"`},
		{"down lab2", "chosen with --name"},
		{"hosts --name lab1 db1", "takes no argument"},
		{"up --db many", "invalid value"},
		{"up --variant rot", "use sudo, sudo-password, root or no-sudo"},
		{"up --name Big", "lab name"},
		{"up --postgresql /opt/pg", "use HOST=FOLDER"},
		{"up --nmae lab2", "flag provided but not defined"},
		{"hosts --state /x,y", "state folder"},
		{"exec db1", "needs a host and a command"},
	} {
		if _, stderr := do(t, exitUsage, strings.Fields(c.args)...); !strings.Contains(stderr, c.want) {
			t.Errorf("%s: says %q, want %q", c.args, stderr, c.want)
		}
	}
	if _, stderr := do(t, exitFailed, "inventory", "--name", "no-such-lab"); !strings.Contains(stderr, "pgfleet-lab up") {
		t.Errorf("no lab: says %q", stderr)
	}
	do(t, exitOK, "help")
}

func TestCommands(t *testing.T) {
	labtest.Need(t)
	name := fmt.Sprintf("command-%d", os.Getpid())
	defer do(t, exitOK, "down", "--name", name)
	out, _ := do(t, exitOK, "up", "--name", name, "--db", "1", "--client", "0", "--variant", "ca=no-sudo", "--resolve")
	folder := filepath.Join(lab.Root, name)
	if want := fmt.Sprintf("inventory: %[1]s/inventory.yaml\nssh:       ssh -F %[1]s/ssh_config db1\n", folder); out != want {
		t.Errorf("up prints %q", out)
	}
	do(t, exitFailed, "up", "--name", name)
	out, _ = do(t, exitOK, "hosts", "--name", name, "-o", "json")
	var hosts []lab.Host
	if err := json.Unmarshal([]byte(out), &hosts); err != nil || len(hosts) != 4 || hosts[3].Name != "db1.example.net" || hosts[3].PID == 0 || hosts[0].Access != lab.NoSudo {
		t.Errorf("hosts: %+v, %v", hosts, err)
	}
	if out, _ = do(t, exitOK, "hosts", "--name", name); strings.Count(out, "\n") != 5 {
		t.Errorf("hosts: %s", out)
	}
	for command, file := range map[string]string{"inventory": "inventory.yaml", "ssh-config": "ssh_config"} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		if out, _ = do(t, exitOK, command, "--name", name); out != string(text) {
			t.Errorf("%s and its file differ", command)
		}
	}
	do(t, 7, "exec", "--name", name, "db1", "--", "sh", "-c", "echo changed > /etc/motd; exit 7")
	do(t, exitOK, "exec", "--name", name, "ca1", "getent", "hosts", "db1.example.net")
	do(t, exitOK, "stop", "--name", name, "db1")
	do(t, exitFailed, "exec", "--name", name, "db1", "true")
	do(t, exitOK, "start", "--name", name, "db1")
	do(t, exitOK, "exec", "--name", name, "db1", "--", "grep", "-q", "changed", "/etc/motd")
	do(t, exitOK, "reset", "--name", name, "db1.example.net")
	do(t, 1, "exec", "--name", name, "db1", "--", "grep", "-q", "changed", "/etc/motd")
	do(t, exitFailed, "reset", "--name", name, "db2")
	do(t, exitOK, "down", "--name", name)
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("after down: %v", err)
	}
}
