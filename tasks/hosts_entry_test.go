package tasks

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestHostsEntry(t *testing.T) {
	w := newWorld(t)
	before := w.sb.ReadFile("/etc/hosts")
	w.server.Address, w.server.Names = "10.9.8.7", []string{"db.example.net", "10.9.8.6", "localhost"}
	task := task(t, "hosts_entry", nil)
	w.must(w.client, task, true)
	w.must(w.client, task, false)
	after := w.sb.ReadFile("/etc/hosts")
	if want := before + "# BEGIN pgfleet\n10.9.8.7 db1.example.net db.example.net\n# END pgfleet\n"; after != want {
		t.Errorf("hosts:\n%s\nwant\n%s", after, want)
	}
	if out := w.sb.Shell("getent hosts db.example.net"); !strings.HasPrefix(out, "10.9.8.7 ") {
		t.Error(out)
	}
	w.server.Names = nil
	w.must(w.client, task, true)
	w.server.Address = "db1.example.net" // resolves by itself: nothing is wanted, the block stays for whoever uses it
	w.must(w.client, task, false)
	w.server.Address = "10.9.8.5"
	w.must(w.client, task, true)
	w.sb.WriteFile("/etc/hosts", before+"10.9.8.5 db1.example.net", 0o644)
	w.must(w.client, task, false)
	w.sb.WriteFile("/etc/hosts", before+"10.9.8.4 db1.example.net", 0o644)
	w.must(w.client, task, true)
	w.sb.WriteFile("/etc/hosts", before+"# END pgfleet\n# BEGIN pgfleet\n", 0o644)
	w.refused(w.client, task, "/etc/hosts", "repair")
}

// Where /etc/hosts is a mount, as in containers, it cannot be replaced: what to do instead is said, and nothing is left behind.
func TestHostsEntryMounted(t *testing.T) {
	w := newWorld(t)
	w.sb.Shell(`cp /etc/hosts /opt/hosts && mount --bind /opt/hosts /etc/hosts`)
	w.server.Address = "10.9.8.7"
	if _, err := w.run(w.client, task(t, "hosts_entry", nil)); err == nil || !strings.Contains(err.Error(), "DNS") {
		t.Error(err)
	}
	if left := w.sb.Shell(`ls /etc | grep pgfleet-new || true`); left != "" {
		t.Error(left)
	}
	w.sb.Shell(`echo "10.9.8.7 db1.example.net" >>/etc/hosts`)
	w.must(w.client, task(t, "hosts_entry", nil), false)
}

// TestHostsEntryVirtual: a name that several servers have, or that resolves to something else, is that of a virtual address or a proxy in front of them. A line for it would lead past
// that.
func TestHostsEntryVirtual(t *testing.T) {
	w := newWorld(t)
	before := w.sb.ReadFile("/etc/hosts") + "10.9.8.100 vip.example.net\n"
	w.sb.WriteFile("/etc/hosts", before, 0o644)
	other := &Host{Name: "db2.example.net", Address: "10.9.8.8", Names: []string{"pool.example.net", "own.example.net"}, Roles: []string{"db_server"}, View: w.server.View, Fleet: w.fleet}
	w.fleet.Hosts[other.Name] = other
	w.client.Servers = append(w.client.Servers, other.Name)
	third := &Host{Name: "db3.example.net", Names: []string{"all.example.net"}, Roles: []string{"db_server"}, View: w.server.View, Fleet: w.fleet} // this client does not use it
	w.fleet.Hosts[third.Name] = third
	w.server.Address, w.server.Names = "10.9.8.7", []string{"vip.example.net", "pool.example.net", "all.example.net"}
	entry := task(t, "hosts_entry", nil)
	block := func(lines string) {
		t.Helper()
		w.must(w.client, entry, true)
		w.must(w.client, entry, false)
		if after, want := w.sb.ReadFile("/etc/hosts"), before+hostsFirst+"\n"+lines+hostsLast+"\n"; after != want {
			t.Errorf("hosts:\n%s\nwant\n%s", after, want)
		}
	}
	block("10.9.8.7 db1.example.net\n10.9.8.8 db2.example.net own.example.net\n")
	// What the block itself has said of a name keeps the name from nothing: the server moves.
	other.Address = "10.9.8.9"
	block("10.9.8.7 db1.example.net\n10.9.8.9 db2.example.net own.example.net\n")
	// Lines of before for a name that now several have go.
	w.server.Names = []string{"own.example.net"}
	w.fleet.shared.once = sync.Once{}
	block("10.9.8.7 db1.example.net\n10.9.8.9 db2.example.net pool.example.net\n")
}

// One question tells of all names, known or not; a getent that does not answer it as glibc's does is asked for each by itself, and one that fails is not believed.
func TestHostsEntryAsks(t *testing.T) {
	const known = `case $n in db1.example.net) a="10.9.8.7 fd00::7" ;; db3.example.net) a=10.9.8.9 ;; 127.0.0.1) a=$n ;; *) a= ;; esac`
	const glibc = `rc=0; for n; do ` + known + `; [ "$a" ] || rc=2; c=$n; for x in $a; do printf '%-15s STREAM %s\n%-15s DGRAM  \n%-15s RAW    \n' $x "$c" $x $x; c=; done; done; exit $rc`
	for _, c := range []struct {
		name, getent, calls string
		fails               bool
	}{
		{"glibc", glibc, "1", false},
		{"an alias", strings.Replace(glibc, "c=$n", "c=$n; [ $n != db1.example.net ] || c=alias.example.net", 1), "1", false},
		{"ends at the first that is not known", strings.Replace(glibc, "rc=2", "exit 2", 1), "5", false},
		{"no such answer", `for n; do ` + known + `; [ "$a" ] || exit 2; for x in $a; do echo "$x $n"; done; done`, "5", false},
		{"broken", "exit 1", "2", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.sb.WriteFile("/usr/local/bin/getent", "#!/bin/sh\n[ \"$1\" = ahosts ] || exec /usr/bin/getent \"$@\"\nshift\necho >>/tmp/asked\n"+c.getent+"\n", 0o755)
			w.server.Address, w.server.Names = "10.9.8.7", []string{"db2.example.net", "db3.example.net", "db4.example.net"}
			hosts := task(t, "hosts_entry", nil)
			change, err := w.check(w.client, hosts)
			if got := w.sb.Shell("wc -l </tmp/asked"); got != c.calls {
				t.Errorf("getent was called %s times, want %s", got, c.calls)
			}
			if c.fails {
				if err == nil || !strings.Contains(err.Error(), "getent ahosts db1.example.net failed") {
					t.Error(err)
				}
				r, err := w.client.View.Get(hosts.(*hostsEntryTask).key(w.client))
				if at, ok := HostTime(r); err != nil || !ok || time.Since(at).Abs() > 20*time.Second {
					t.Errorf("%v: the time there is %s, told %v", err, at, ok)
				}
				return
			}
			if err != nil || change == nil || !strings.Contains(change.Diff, "+10.9.8.7 db2.example.net db4.example.net\n") {
				t.Errorf("%v %+v", err, change)
			}
		})
	}
}

// What is too long to be arguments of a program goes another way, and ends as the same text.
func TestLongBlocks(t *testing.T) {
	w := newWorld(t)
	w.serverSeen(5432)
	before := w.sb.ReadFile("/etc/hosts")
	for n := range 400 {
		name := fmt.Sprintf("db%03d-%s.example.net", n, strings.Repeat("x", 30))
		w.fleet.Hosts[name] = &Host{Name: name, Address: fmt.Sprintf("10.9.%d.%d", n/200, n%200+1), Names: []string{"long-" + strings.Repeat("y", 50) + "." + name, "also-" + strings.Repeat("z", 50) + "." + name},
			Roles: []string{"db_server"}, View: w.server.View, Fleet: w.fleet}
		w.client.Servers = append(w.client.Servers, name)
	}
	trust, hosts := task(t, "trust", clientTrust), task(t, "hosts_entry", nil)
	all := w.client.Servers
	for _, servers := range [][]string{all, all[:2], all, nil} {
		w.client.Servers = servers
		if servers != nil {
			w.must(w.client, hosts, true)
			w.must(w.client, hosts, false)
		}
		w.must(w.client, trust, true)
		w.must(w.client, trust, false)
		if got := strings.Count(w.sb.ReadFile("/home/app/.pg_service.conf"), "[dbuser1@"); got != len(servers) {
			t.Errorf("%d services, want %d", got, len(servers))
		}
	}
	if got := w.sb.ReadFile("/home/app/.pg_service.conf"); got != "" {
		t.Errorf("left are %d bytes", len(got))
	}
	if got := w.sb.ReadFile("/etc/hosts"); !strings.HasPrefix(got, before+hostsFirst+"\n127.0.0.1 db1.example.net\n10.9.0.1 db000-") || !strings.HasSuffix(got, hostsLast+"\n") || len(got) < 64<<10 {
		t.Errorf("/etc/hosts has %d bytes", len(got))
	}
}
