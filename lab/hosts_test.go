package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/inventory"
	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// ssh runs a command on a host with the OpenSSH client and the lab's files only.
func ssh(t *testing.T, l *lab.Lab, host, command string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh", "-n", "-F", filepath.Join(l.Folder(), "ssh_config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+filepath.Join(l.Folder(), "known_hosts"), host, command)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func mustSSH(t *testing.T, l *lab.Lab, host, command string) string {
	t.Helper()
	out, err := ssh(t, l, host, command)
	if err != nil {
		t.Fatalf("ssh %s %s: %v", host, command, err)
	}
	return out
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestHosts(t *testing.T) {
	l := labtest.Up(t, lab.Options{DB: 2, Client: 2})
	t.Run("names and logins", func(t *testing.T) { namesAndLogins(t, l) })
	t.Run("exec", func(t *testing.T) { execution(t, l) })
	t.Run("databases", func(t *testing.T) { databases(t, l) })
	t.Run("what the machine has is masked", func(t *testing.T) { masked(t, l) })
	t.Run("own namespaces", func(t *testing.T) { namespaces(t, l) })
	t.Run("like Debian", func(t *testing.T) { likeDebian(t, l) })
	t.Run("inventory", func(t *testing.T) { readable(t, l) })
	t.Run("stop and start", func(t *testing.T) { stopAndStart(t, l) })
	t.Run("reset", func(t *testing.T) { reset(t, l) })
}

func namesAndLogins(t *testing.T, l *lab.Lab) {
	if n := len(l.Hosts()); n != 7 {
		t.Fatalf("%d hosts, want 7", n)
	}
	for _, h := range l.Hosts() {
		out := mustSSH(t, l, h.Short, "hostname; hostname -f; getent hosts "+h.Name+"; id -un; sudo -n id -un; getent hosts nowhere.example.net || echo unknown")
		want(t, h.Short, out, strings.Join([]string{h.Short, h.Name, h.Addr + "      " + h.Name + " " + h.Short, "ops", "root", "unknown"}, "\n"))
	}
	for _, h := range l.Hosts()[3:5] {
		want(t, "full name", mustSSH(t, l, h.Name, "hostname"), h.Short)
	}
}

func execution(t *testing.T, l *lab.Lab) {
	want(t, "stdin", labtest.Feed(t, l, "app1", "over here", "cat"), "over here")
	out, err := l.Exec(t.Context(), "app1", []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, nil)
	if err != nil || out != (lab.Output{Stdout: "out\n", Stderr: "err\n", Code: 3}) {
		t.Errorf("got %+v, %v", out, err)
	}
	out, err = l.Exec(t.Context(), "app1", []string{"sh", "-c", "kill -9 $$"}, nil)
	if err != nil || out.Code != 137 {
		t.Errorf("killed: got %+v, %v", out, err)
	}
	if out, err := l.Exec(t.Context(), "app1", []string{"no-such-program"}, nil); err == nil && out.Code != 127 {
		t.Errorf("no such program: got %+v", out)
	}
	if _, err := l.Exec(t.Context(), "app9", []string{"true"}, nil); err == nil {
		t.Error("a host that is not there runs commands")
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	want(t, "1 MiB there and back", labtest.Feed(t, l, "app1", big, "cat"), big)
}

// A command ends with its caller.
func TestExecCancelled(t *testing.T) {
	l := labtest.Up(t, lab.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	done := make(chan error)
	go func() {
		_, err := l.Run(ctx, "ca1", lab.Command{Argv: []string{"sh", "-c", "echo $$; sleep 1000 & wait"}, Stdout: out})
		done <- err
	}()
	line := make([]byte, 32)
	n, err := in.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error after cancel")
	}
	out.Close()
	// The read ends when the last process that holds the pipe has ended: the shell's child too.
	if n, err := in.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
	pid := strings.TrimSpace(string(line[:n]))
	// Its end is seen a moment later.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out, err := l.Exec(t.Context(), "ca1", []string{"ps", "-p", pid}, nil)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the command is still there: %s (%v)", out.Stdout, err)
		}
		if out.Code != 0 {
			return
		}
	}
}

func sql(t *testing.T, l *lab.Lab, host, text string) string {
	t.Helper()
	return labtest.Feed(t, l, host, text, "runuser", "-u", "postgres", "--", "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "postgres")
}

func databases(t *testing.T, l *lab.Lab) {
	db1, _ := l.Host("db1")
	sql(t, l, "db1", "create role before login password 'open sesame'")
	psql := []string{"psql", "-X", "-At", "host=" + db1.Addr + " user=before dbname=postgres", "-c", "select current_user"}
	want(t, "client by password", labtest.Exec(t, l, "app1", append([]string{"env", "PGPASSWORD=open sesame"}, psql...)...), "before")
	if out, err := l.Exec(t.Context(), "app1", append([]string{"env", "PGPASSWORD=wrong"}, psql...), nil); err != nil || out.Code != 2 || !strings.Contains(out.Stderr, "password authentication failed") {
		t.Errorf("wrong password: %+v, %v", out, err)
	}
	one, two := sql(t, l, "db1", "select system_identifier from pg_control_system()"), sql(t, l, "db2", "select system_identifier from pg_control_system()")
	if one == two || one == "" {
		t.Errorf("system identifiers %q and %q", one, two)
	}
	want(t, "role of db1 on db2", sql(t, l, "db2", "select count(*) from pg_roles where rolname = 'before'"), "0")
	labtest.Exec(t, l, "db1", "pg_ctlcluster", "15", "main", "restart")
	want(t, "after restart", sql(t, l, "db1", "select count(*) from pg_roles where rolname = 'before'"), "1")
	want(t, "ssl", sql(t, l, "db1", "show ssl")+" "+sql(t, l, "db1", "show ssl_cert_file"), "on /etc/ssl/certs/ssl-cert-snakeoil.pem")
	if out, err := l.Exec(t.Context(), "app1", []string{"pg_lsclusters", "-h"}, nil); err != nil || out.Stdout != "" {
		t.Errorf("clusters on a client: %q, %v", out.Stdout, err)
	}
}

func masked(t *testing.T, l *lab.Lab) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.Folder(), lab.Root, filepath.Dir(here), "/root/.ssh", "/root/go", "/root/.cache"} {
		if out, err := l.Exec(t.Context(), "app1", []string{"ls", "-d", path}, nil); err != nil || out.Code == 0 {
			t.Errorf("a host sees the machine's %s: %q, %v", path, out.Stdout, err)
		}
	}
	want(t, "home", labtest.Exec(t, l, "app1", "ls", "-A", "/home"), "ops")
	want(t, "root's home", labtest.Exec(t, l, "app1", "ls", "-A", "/root"), "")
	want(t, "tmp", labtest.Exec(t, l, "app1", "ls", "-A", "/tmp"), "")
	want(t, "people", labtest.Exec(t, l, "app1", "awk", "-F:", "$3 >= 1000 && $3 < 65000 {print $1}", "/etc/passwd"), "ops")
	want(t, "passwords", labtest.Exec(t, l, "app1", "awk", "-F:", `$2 != "*" {print $1}`, "/etc/shadow"), "")
	if out, err := l.Exec(t.Context(), "app1", []string{"sh", "-c", "echo 1 > /proc/sys/kernel/panic"}, nil); err != nil || out.Code == 0 {
		t.Errorf("a host may change the machine's kernel: %v", err)
	}
	if out, err := l.Exec(t.Context(), "app1", []string{"date", "-s", "2001-01-01"}, nil); err != nil || out.Code == 0 {
		t.Errorf("a host may set the machine's clock: %v", err)
	}
}

func namespaces(t *testing.T, l *lab.Lab) {
	mustSSH(t, l, "app1", "echo mine | sudo -n tee /etc/mine /home/ops/mine /var/lib/postgresql/mine /root/mine")
	want(t, "own file", labtest.Exec(t, l, "app1", "cat", "/etc/mine"), "mine")
	for _, path := range []string{"/etc/mine", "/home/ops/mine", "/var/lib/postgresql/mine", "/root/mine"} {
		if out, err := l.Exec(t.Context(), "app2", []string{"test", "-e", path}, nil); err != nil || out.Code != 1 {
			t.Errorf("app2 sees app1's %s: %v", path, err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("the machine has the host's %s", path)
		}
	}
	seen := map[string]string{}
	for _, h := range l.Hosts() {
		for _, ns := range []string{"net", "mnt", "pid", "uts", "ipc"} {
			id := labtest.Exec(t, l, h.Short, "readlink", "/proc/self/ns/"+ns)
			machine, err := os.Readlink("/proc/self/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[id]; ok || id == machine {
				t.Errorf("%s shares its %s namespace with %s", h.Short, ns, other)
			}
			seen[id] = h.Short
		}
	}
}

func likeDebian(t *testing.T, l *lab.Lab) {
	want(t, "HOME of PostgreSQL", labtest.Exec(t, l, "db2", "sh", "-c", `tr '\0' '\n' </proc/$(head -n 1 /var/lib/postgresql/*/main/postmaster.pid)/environ | grep ^HOME= || echo none`), "none")
	out := labtest.Exec(t, l, "db1", "stat", "-c", "%n %U:%G %a", "/etc/postgresql/15/main", "/var/lib/postgresql/15/main", "/etc/postgresql/15/main/pg_hba.conf",
		"/etc/ssl/private", "/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/var/run/postgresql", "/var/log/postgresql", "/tmp", "/home/ops", "/root")
	want(t, "owners and modes", out, `/etc/postgresql/15/main postgres:postgres 755
/var/lib/postgresql/15/main postgres:postgres 700
/etc/postgresql/15/main/pg_hba.conf postgres:postgres 640
/etc/ssl/private root:ssl-cert 710
/etc/ssl/private/ssl-cert-snakeoil.key root:ssl-cert 640
/etc/ssl/certs/ssl-cert-snakeoil.pem root:root 644
/var/run/postgresql postgres:postgres 2775
/var/log/postgresql root:postgres 1775
/tmp root:root 1777
/home/ops ops:ops 700
/root root:root 700`)
	one := labtest.Exec(t, l, "db1", "openssl", "x509", "-in", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "-noout", "-subject", "-pubkey")
	// Where libpq looks when nothing is said.
	want(t, "socket", labtest.Exec(t, l, "db1", "runuser", "-u", "postgres", "--", "/usr/lib/postgresql/15/bin/psql", "-XAt", "-c", "show unix_socket_directories"), "/var/run/postgresql")
	key := labtest.Exec(t, l, "db1", "openssl", "pkey", "-in", "/etc/ssl/private/ssl-cert-snakeoil.key", "-pubout")
	want(t, "snakeoil", one, "subject=CN = db1.example.net\n"+key)
	if two := labtest.Exec(t, l, "db2", "openssl", "x509", "-in", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "-noout", "-subject", "-pubkey"); one == two {
		t.Error("two hosts with one snakeoil key")
	}
}

func readable(t *testing.T, l *lab.Lab) {
	inv, err := inventory.Load(filepath.Join(l.Folder(), "inventory.yaml"), inventory.Options{SSHConfig: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range l.Hosts() {
		got := inv.Hosts[i]
		if got.Name != h.Name || got.Address != h.Addr || !got.HasRole(string(h.Role)) || got.Target.User != "ops" || !got.Target.Become {
			t.Errorf("%s: read as %+v", h.Name, got)
		}
	}
}

func stopAndStart(t *testing.T, l *lab.Lab) {
	sql(t, l, "db2", "create table kept as select 42 as answer")
	labtest.Feed(t, l, "db2", "kept", "tee", "/etc/kept")
	if err := l.Stop(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	if h, _ := l.Host("db2"); h.PID != 0 {
		t.Errorf("db2 is stopped and has process %d", h.PID)
	}
	if _, err := ssh(t, l, "db2", "true"); err == nil || strings.Contains(err.Error(), "refused") {
		t.Error("a stopped host answers")
	}
	if _, err := l.Exec(t.Context(), "db2", []string{"true"}, nil); err == nil || !strings.Contains(err.Error(), "pgfleet-lab start db2") {
		t.Errorf("exec on a stopped host: %v", err)
	}
	if err := l.Start(t.Context(), "db2"); err != nil {
		t.Fatal(err)
	}
	want(t, "table after a power cut", sql(t, l, "db2", "select answer from kept"), "42")
	want(t, "file after a power cut", mustSSH(t, l, "db2", "cat /etc/kept"), "kept")
}

func reset(t *testing.T, l *lab.Lab) {
	labtest.Exec(t, l, "app1", "rm", "-rf", "/usr/bin/psql", "/etc/hosts", "/var/lib/postgresql")
	sql(t, l, "db2", "create database gone")
	if err := l.Reset(t.Context(), "db1", "db2.example.net"); err != nil {
		t.Fatal(err)
	}
	want(t, "app1 was not named", labtest.Exec(t, l, "app1", "cat", "/etc/mine"), "mine")
	want(t, "databases", sql(t, l, "db2", "select count(*) from pg_database"), "3")
	if err := l.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	labtest.Exec(t, l, "app1", "test", "-x", "/usr/bin/psql", "-a", "!", "-e", "/etc/mine")
	for _, h := range l.Hosts() {
		want(t, h.Short+" with its recorded host key", mustSSH(t, l, h.Short, "sudo -n hostname -f"), h.Name)
	}
}
