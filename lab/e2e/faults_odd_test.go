package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/cmd"
	"github.com/pgfleet/pgfleet/lab"
)

// again has sshd read its configuration with lines of ours first, and waits until it answers.
const again = `printf '%s\n' "$1" | cat - /etc/ssh/sshd_config >/etc/ssh/sshd_config.new
mv /etc/ssh/sshd_config.new /etc/ssh/sshd_config
/usr/sbin/sshd -t
` + reloadSSHD

// TestOddHosts runs the shipped playbook on hosts that are not as one thinks: a server whose sshd forwards nothing and that has a second cluster, one whose cluster
// is stopped, a client without psql, a client with one session a connection and a password for sudo.
func TestOddHosts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{DB: 2, Client: 2, Variants: []lab.Variant{{Hosts: "app2", Access: lab.SudoPassword}, {Hosts: "ca1", Access: lab.RootLogin}}})
	f.sh(t, "db1", again, "AllowTcpForwarding no")
	f.sh(t, "db1", "pg_createcluster 15 second -p 5433 -o listen_addresses=* --start >/dev/null")
	f.sh(t, "app2", again, "MaxSessions 1")
	f.sh(t, "app1", "rm -f /usr/bin/psql /usr/lib/postgresql/*/bin/psql; ! command -v psql")
	f.sh(t, "db2", "pg_ctlcluster 15 main stop")

	t.Run("a stopped server", func(t *testing.T) {
		f.want(t, 3, []string{"unverified    app1.example.net", "app1.example.net to db2.example.net:5432", "got cannot connect"}, "run", shipped)
		if out := f.sh(t, "db2", "pg_lsclusters -h | awk '{print $4}'"); out != "down" {
			t.Errorf("the cluster that somebody stopped is %s", out)
		}
		f.sh(t, "db2", "pg_ctlcluster 15 main start")
	})
	t.Run("everything else", func(t *testing.T) {
		f.finishes(t)
		_, out := f.pgfleet(t, "verify", "-o", "json")
		// What no psql can show, test certificates and old versions of TLS, is always tested by pgfleet itself: a probe.
		for _, c := range readDocument(t, out).Cells {
			if want := map[string]string{"app1.example.net": "pgx", "app2.example.net": "psql"}[c.Client]; c.Via != want && c.Via != "probe" || !c.OK {
				t.Errorf("%s was tested through %s, want %s: %+v", c.Client, c.Via, want, c)
			}
		}
	})
	t.Run("no forwarding", func(t *testing.T) {
		f.want(t, 0, nil, "task", "certificate", "-l", "db1.example.net", "issuer=servers", "profile=server", "force=yes")
		f.want(t, 0, []string{"the host forbids forwarding"}, "task", "postgres_reload", "-l", "db1.example.net", "-v")
	})
	t.Run("two clusters", func(t *testing.T) {
		f.sh(t, "db1", "pg_ctlcluster 15 main restart") // it is found after the other now, and nobody's files change for that
		f.want(t, 0, nil, "run", shipped, "--check", "--detailed-exitcode")
		certificates := f.sh(t, "db1", `for p in 5432 5433; do runuser -u postgres -- `+psqlPath+` -p $p -XAtc "select current_setting('ssl_cert_file'), (select count(*) from pg_roles where rolname = 'dbuser1'), pg_conf_load_time() is not null"; done`)
		main, second, _ := strings.Cut(certificates, "\n")
		if !strings.HasPrefix(main, "/etc/pgfleet/15-main/") || !strings.HasPrefix(second, "/etc/pgfleet/15-second/") || !strings.HasSuffix(main, "|1|t") || !strings.HasSuffix(second, "|1|t") {
			t.Errorf("the clusters have\n%s", certificates)
		}
	})
	t.Run("sudo's password", f.sudoPassword)
}

// sudoPassword gives the password by reference, at a prompt, wrongly, and not at all.
func (f *fleet) sudoPassword(t *testing.T) {
	id := []string{"exec", "-l", "app2.example.net", "--", "id", "-un"}
	line := append([]string{"exec", "-l", "app2.example.net", "-i", f.inventory, "--ssh-config", "none"}, "--", "id", "-un")
	if code, out := runPgfleet(t, line...); code != 0 || !strings.Contains(out, "root") || strings.Contains(out, lab.OpsPassword) {
		t.Errorf("by reference: exit %d:\n%s", code, out)
	}
	bare := f.with(t, "    vars: {sudo_password: {file: "+filepath.Join(f.lab.Folder(), "sudo_password")+"}}\n", "")
	at := slices.Index(id, "--")
	without := append(append(slices.Clone(id[:at]), "-i", bare.inventory, "--ssh-config", "none"), id[at:]...)
	if code, out := runPgfleet(t, without...); code == 0 || !strings.Contains(out, "sudo") || !strings.Contains(out, "-K") {
		t.Errorf("without: exit %d:\n%s", code, out)
	}
	typed := append(append(slices.Clone(id[:at]), "-i", bare.inventory, "--ssh-config", "none", "-K"), id[at:]...)
	for password, want := range map[string]int{lab.OpsPassword: 0, "wrong one": 4} {
		var out bytes.Buffer
		code := cmd.Main(typed, &cmd.System{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }, Now: time.Now,
			Size: func(any) (int, int, bool) { return 80, 24, true }, ReadSecret: func(func()) ([]byte, error) { return []byte(password), nil }})
		if code != want || strings.Contains(out.String(), password) {
			t.Errorf("typed %q: exit %d, want %d:\n%s", password, code, want, out.String())
		}
	}
	if secret, err := os.ReadFile(filepath.Join(f.lab.Folder(), "sudo_password")); err != nil || strings.TrimSpace(string(secret)) != lab.OpsPassword {
		t.Errorf("the reference's file: %q %v", secret, err)
	}
}
