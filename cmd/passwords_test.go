package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/transport"
)

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	file, calls := filepath.Join(dir, "secret"), filepath.Join(dir, "calls")
	if err := os.WriteFile(file, []byte("from file \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := func(ref map[string]any) *inventory.Host {
		return &inventory.Host{Name: "db1", SudoPassword: ref, Target: transport.Target{Become: true}}
	}
	command := map[string]any{"command": []any{"sh", "-c", `echo call >>"$0"; echo "from command"`, calls}}
	var warnings bytes.Buffer
	sys := &System{Err: &warnings, Getenv: func(name string) string { return map[string]string{"SUDO": "from env"}[name] },
		Size: func(any) (int, int, bool) { return 0, 0, false }}
	p, err := newPasswords(sys, false)
	if err != nil {
		t.Fatal(err)
	}
	for want, ref := range map[string]map[string]any{"from env": {"env": "SUDO"}, "from file ": {"file": file}, "from command": command, "": nil} {
		got, err := p.of(context.Background(), host(ref))
		if err != nil || string(got) != want {
			t.Errorf("%v: %q, %v", ref, got, err)
		}
	}
	if _, err := p.of(context.Background(), host(command)); err != nil {
		t.Error(err)
	}
	if log, _ := os.ReadFile(calls); strings.Count(string(log), "call") != 1 {
		t.Errorf("the command ran %q", log)
	}
	for _, ref := range []map[string]any{{"env": "NOT_SET"}, {"file": filepath.Join(dir, "none")}, {"command": []any{"false"}},
		{"command": []any{"true"}}, {"command": []any{}}, {"other": "x"}} {
		if _, err := p.of(context.Background(), host(ref)); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "db1") {
			t.Errorf("%v: %v", ref, err)
		}
	}
	if _, err := newPasswords(sys, true, []*inventory.Host{host(nil)}); exitCode(err) != exitUsage {
		t.Errorf("-K without a terminal: %v", err)
	}
	if _, err := newPasswords(sys, true, []*inventory.Host{{Name: "db2"}}); err != nil {
		t.Errorf("-K where no host needs it: %v", err)
	}
}

// A command that works in two runs asks once.
func TestKeptDoorAsksOnce(t *testing.T) {
	hosts := []*inventory.Host{{Name: "db1", Target: transport.Target{Become: true}}}
	var said bytes.Buffer
	sys := &System{Err: &said, Getenv: func(string) string { return "" }, Size: func(any) (int, int, bool) { return 80, 24, true },
		ReadSecret: func(ask func()) ([]byte, error) {
			ask()
			return []byte("secret"), nil
		}}
	o := &connectOptions{askBecome: true}
	closeDoor, err := o.keep(sys, hosts)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDoor()
	for range 2 {
		way, err := o.dialer(sys, nil, hosts)
		if err != nil {
			t.Fatal(err)
		}
		way.close()
	}
	if n := strings.Count(said.String(), "sudo password"); n != 1 {
		t.Errorf("asked %d times: %q", n, said.String())
	}
}
