package lab_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// All ways to become root, with SSH a round trip away.
func TestVariants(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 1, Client: 2, RTT: 4 * time.Millisecond, Variants: []lab.Variant{
		{Access: lab.SudoPassword}, {Hosts: "ca", Access: lab.NoSudo}, {Hosts: "db1", Access: lab.RootLogin}, {Hosts: "app2", Access: lab.Sudo},
	}})
	want(t, "root login", mustSSH(t, l, "db1", "id -un"), "root")
	want(t, "sudo", mustSSH(t, l, "app2", "sudo -n id -un"), "root")
	if out, err := ssh(t, l, "app1", "sudo -n id"); err == nil || !strings.Contains(err.Error(), "a password is required") {
		t.Errorf("app1: sudo without its password: %q, %v", out, err)
	}
	want(t, "sudo with password", mustSSH(t, l, "app1", "echo "+lab.OpsPassword+" | sudo -k -S -p '' id -un"), "root")
	if out, err := ssh(t, l, "ca1", "echo "+lab.OpsPassword+" | sudo -k -S -p '' id -un"); err == nil {
		t.Errorf("ca1: sudo gives %q", out)
	}
	for _, h := range l.Hosts() {
		if h.Port != 2222 {
			t.Errorf("%s: port %d", h.Short, h.Port)
		}
	}
	inv, err := inventory.Load(filepath.Join(l.Folder(), "inventory.yaml"), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string]struct {
		user             string
		become, password bool
	}{"ca1": {"ops", false, false}, "db1": {"root", false, false}, "app1": {"ops", true, true}, "app2": {"ops", true, false}} {
		h, ok := inv.Host(name + "." + lab.Domain)
		if !ok || h.Target.User != wanted.user || h.Target.Become != wanted.become || (h.SudoPassword != nil) != wanted.password || h.Target.Port != 2222 {
			t.Errorf("%s: read as %+v", name, h)
		}
	}
}

func TestLogSessions(t *testing.T) {
	l := labtest.Up(t, lab.Options{LogSessions: true})
	mustSSH(t, l, "ca1", "true")
	if log := labtest.Exec(t, l, "ca1", "cat", "/var/log/auth.log"); !strings.Contains(log, "Starting session: command for ops") {
		t.Errorf("the log names no session:\n%s", log)
	}
}

// Debian's own PostgreSQL as an installation of somebody else's.
func TestInstallation(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 2, PostgreSQL: map[string]string{"db2": "/usr/lib/postgresql/15"}})
	identifier := func(host string) string {
		return sql(t, l, host, "select system_identifier from pg_control_system()")
	}
	before := identifier("db2")
	if before == identifier("db1") {
		t.Errorf("both servers are %s", before)
	}
	if out, err := l.Exec(t.Context(), "db2", []string{"touch", "/usr/lib/postgresql/15/new"}, nil); err != nil || !strings.Contains(out.Stderr, "Read-only file system") {
		t.Errorf("writing to the installation: %+v, %v", out, err)
	}
	want(t, "listens on", sql(t, l, "db2", "show listen_addresses"), "*")
	if err := l.Stop(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	want(t, "the cluster after a power cut", identifier("db2"), before)
	if err := l.Reset(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	if after := identifier("db2"); after == before {
		t.Errorf("reset, and still %s", after)
	}
}
