package tasks

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// foundBy gives what the probe finds in a shell of the sandbox with that PATH, told what View.servers gives.
func foundBy(t *testing.T, p *pgHost, shell []string, path string, told ...string) []*Cluster {
	t.Helper()
	switcher := "setpriv"
	if shell[0] == "busybox" {
		switcher = "runuser" // it takes its own setpriv
	}
	words := slices.Concat([]string{"PGFLEET_USER=root", "PGFLEET_SWITCHER=" + switcher, "PATH=" + path}, shell,
		[]string{"-c", postgresAs + postgresProbeProgram, "sh", postgresReaderProgram, "any", "unseen"}, told)
	out, err := p.Command(context.Background(), "env", words...).Output()
	if err != nil {
		t.Fatal(shell, err)
	}
	list, err := parseClusters(out)
	if err != nil {
		t.Fatalf("%v: %v\n%s", shell, err, out)
	}
	return list
}

// wrap puts a program in the place of a tool for whoever has /opt/wrapped first in its PATH; the real one is $real.
func (p *pgHost) wrap(tool, program string) {
	p.t.Helper()
	p.Shell(`mkdir -p /opt/wrapped && printf '#!/bin/sh\nreal=%s\n%s\n' "$(command -v "$1")" "$2" >"/opt/wrapped/$1" && chmod 755 "/opt/wrapped/$1"`, tool, program)
}

// TestProbeFinds: folder, programs, user and state of each cluster, in every shell: a data directory reached through a link, a program that was replaced
// while it ran, a server in another group than its user's, one stopped beside those that run, one that only a service file names; and what strangers run
// beside them changes none of it, whatever their folders are called.
func TestProbeFinds(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`set -e
		cp -a /etc/postgresql/15/two /etc/postgresql/15/three && cp -a /var/lib/postgresql/15/two /var/lib/postgresql/15/three
		sed -i 's#15/two#15/three#g; s#15-two#15-three#g; s#^port = .*#port = 5434#' /etc/postgresql/15/three/postgresql.conf
		pg_ctlcluster 15 main stop
		mkdir -p /srv/pg /srv/unit && mv /var/lib/postgresql/15/main /srv/pg/main && ln -s /srv/pg/main /var/lib/postgresql/15/main
		echo 15 >/srv/unit/PG_VERSION && cp /var/lib/postgresql/15/two/postgresql.auto.conf /srv/unit/postgresql.conf && chown -R postgres:postgres /srv/unit
		mkdir -p /etc/systemd/system/postgresql.service.d
		printf '[Service]\nEnvironment=PGDATA="/srv/other"\n#PGDATA=/srv/another\n  Environment="PGDATA=/srv/unit"  ' >/etc/systemd/system/postgresql.service.d/a.conf
		mkdir -p /etc/pgfleet/15-main /etc/pgfleet/15-two && printf 'one = 1\n\n' >/etc/pgfleet/15-main/pgfleet.conf && printf 'two = 2' >/etc/pgfleet/15-two/pgfleet.conf
		touch -d @1700000001.25 /etc/pgfleet/15-main/pgfleet.conf && touch -d @1700000002 /etc/pgfleet/15-two/pgfleet.conf`)
	// Mallory's comes first, and in the name of its folder is a line as stat prints it.
	p.Shell(`set -e
		useradd -m mallory && cp /bin/sleep /home/mallory/postgres
		n="
$(id -u mallory):mallory:$(id -g mallory):mallory:"
		forged=/home/mallory/x$n/srv/pg/main
		mkdir -p "$forged" && cd "$forged" && echo 15 >PG_VERSION && chmod 755 /home/mallory && chown -R mallory /home/mallory
		echo 1000 >/proc/sys/kernel/ns_last_pid
		setpriv --reuid mallory --regid mallory --clear-groups sh -c 'echo $$ >postmaster.pid; exec /home/mallory/postgres 600' </dev/null >/dev/null 2>&1 &
		sleep 0.2
		pg_ctlcluster 15 main start
		cd /usr/lib/postgresql/15/bin && cp -p postgres new && mv -f new postgres
		cd / && setpriv --reuid postgres --regid mail --init-groups /usr/lib/postgresql/15/bin/pg_ctl -D /var/lib/postgresql/15/two -o '-c config_file=/etc/postgresql/15/two/postgresql.conf' -l /dev/null -w start >/dev/null`)
	if exe := p.Shell(`readlink /proc/$(head -n 1 /srv/pg/main/postmaster.pid)/exe`); !strings.HasSuffix(exe, " (deleted)") {
		t.Fatalf("the program of 15/main was not replaced: %s", exe)
	}
	if group := p.Shell(`sed -n 's/^Gid:.\([0-9]*\).*/\1/p' /proc/$(head -n 1 /var/lib/postgresql/15/two/postmaster.pid)/status`); group != p.Shell("getent group mail | cut -d: -f3") {
		t.Fatalf("15/two runs in group %s", group)
	}
	ids := p.Shell("id -u postgres") + ":" + p.Shell("id -g postgres")
	want := map[string]Cluster{
		"/srv/pg/main":                 {Running: true, OSUser: "postgres", OSGroup: "postgres", BinDir: "/usr/lib/postgresql/15/bin", Ours: []byte("one = 1\n\n"), OursTime: time.Unix(1700000001, 25e7)},
		"/var/lib/postgresql/15/two":   {Running: true, OSUser: "postgres", OSGroup: "postgres", BinDir: "/usr/lib/postgresql/15/bin", Ours: []byte("two = 2"), OursTime: time.Unix(1700000002, 0)},
		"/var/lib/postgresql/15/three": {OSUser: "postgres", OSGroup: "postgres", BinDir: "/usr/lib/postgresql/15/bin"},
		"/srv/unit":                    {OSUser: "postgres", OSGroup: "postgres", BinDir: "/usr/lib/postgresql/15/bin"},
	}
	p.wrap("stat", `case $2 in *:%n) exit 1 ;; esac
exec "$real" "$@"`) // as where there are too many for one call
	p.Shell(`mkdir /opt/bb && busybox --install -s /opt/bb && rm -f /opt/bb/sh /opt/bb/setpriv`)
	check := func(how string, list []*Cluster) {
		t.Helper()
		found := 0
		ids := ids
		if strings.HasPrefix(strings.ToLower(how), "busybox") {
			ids = ""
		}
		for _, c := range list {
			w, ok := want[c.DataDir]
			if !ok {
				if c.OSUser != "mallory" {
					t.Errorf("%s: found %s of %s", how, c.DataDir, c.OSUser)
				}
				continue
			}
			found++
			if c.Running != w.Running || c.OSUser != w.OSUser || c.OSIDs != ids || c.OSGroup != w.OSGroup || c.BinDir != w.BinDir || string(c.Ours) != string(w.Ours) ||
				c.Ours != nil && c.OursTime.Unix() != w.OursTime.Unix() || c.Problem != "" && c.DataDir != "/srv/unit" {
				t.Errorf("%s: %s: running %v, of %s %s %s, programs in %s, settings %q of %s; %s", how, c.DataDir, c.Running, c.OSUser, c.OSIDs, c.OSGroup, c.BinDir, c.Ours, c.OursTime, c.Problem)
			}
			if now := time.Since(c.Now); now < -2*time.Second || now > 20*time.Second {
				t.Errorf("%s: the time there is %s", how, c.Now)
			}
		}
		if found != len(want) {
			t.Errorf("%s: found %d of %d", how, found, len(want))
		}
	}
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		check(shell[0], foundBy(t, p, shell, "/usr/bin:/bin", "0"))
		check(shell[0]+", one file a stat", foundBy(t, p, shell, "/opt/wrapped:/usr/bin:/bin", "0"))
	}
	check("BusyBox's tools", foundBy(t, p, []string{"busybox", "sh"}, "/opt/bb:/usr/bin:/bin", "0"))
	if main := foundBy(t, p, []string{"dash"}, "/usr/bin:/bin", "0")[0]; !main.OursTime.Equal(want[main.DataDir].OursTime) {
		t.Errorf("%s was changed %s", main.DataDir, main.OursTime)
	}
}

// TestProbeStartsFewProcesses: what root starts for a look at a host with one server, besides shells; a look is a good part of a run that changes nothing.
func TestProbeStartsFewProcesses(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`rm -r /etc/postgresql/15/two /var/lib/postgresql/15/two; mkdir -p /etc/pgfleet/15-main; echo 'work_mem = 5MB' >/etc/pgfleet/15-main/pgfleet.conf`)
	for _, tool := range []string{"stat", "readlink", "getent", "sed", "date", "awk", "ls", "cat", "id", "head", "timeout", "setpriv", "tail", "grep"} {
		p.wrap(tool, `{ echo "${0##*/}" >>/root/calls; } 2>/dev/null
exec "$real" "$@"`)
	}
	var view View
	for _, c := range []struct{ when, want string }{{"first", "head setpriv stat stat timeout"}, {"again", "head setpriv stat timeout"}} {
		p.Shell(": >/root/calls")
		list := foundBy(t, p, []string{"dash"}, "/opt/wrapped:/usr/bin:/bin", view.servers()...)
		if len(list) != 1 || list[0].Problem != "" || len(list[0].Ours) == 0 || list[0].OSIDs == "" || list[0].Now.IsZero() {
			t.Fatalf("%s: %+v", c.when, list)
		}
		calls := strings.Fields(p.ReadFile("/root/calls"))
		slices.Sort(calls)
		if got := strings.Join(calls, " "); got != c.want {
			t.Errorf("%s: started %s, want %s", c.when, got, c.want)
		}
		view.remember(list)
	}
	// Some shells start a process for what is handed to a program beyond this.
	if _, text, _ := strings.Cut(postgresReaderProgram, "<<'SQL'\n"); strings.Index(text, "\nSQL\n") >= 4096 {
		t.Errorf("what psql is asked has %d bytes", strings.Index(text, "\nSQL\n")+1)
	}
}

// TestProbeTellsTime also where the folders of processes do not.
func TestProbeTellsTime(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`pg_ctlcluster 15 main stop; rm -r /etc/postgresql/15 /var/lib/postgresql/15; mkdir -p /etc/pgfleet/15-main; echo >/etc/pgfleet/15-main/pgfleet.conf
		touch -d @1700000000 /etc/pgfleet/15-main/pgfleet.conf; : >/root/calls`)
	p.wrap("stat", `"$real" "$@" | grep -v /proc/`)
	p.wrap("date", `echo date >>/root/calls; exec "$real" "$@"`)
	for _, path := range []string{"/usr/bin:/bin", "/opt/wrapped:/usr/bin:/bin"} {
		out, err := p.Command(t.Context(), "env", "PGFLEET_USER=root", "PATH="+path, "sh", "-c", postgresAs+postgresProbeProgram, "sh", postgresReaderProgram, "any", "unseen", "0").Output()
		if err != nil {
			t.Fatal(err)
		}
		records, err := readRecords(out)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(records, func(r record) bool { return r.name == "host" })
		if now := time.Since(unixTime(keyValues(records[i].body)["now"])); now < -2*time.Second || now > 20*time.Second {
			t.Errorf("with %s: %s", path, records[i].body)
		}
	}
	if calls := p.ReadFile("/root/calls"); calls != "date\n" {
		t.Errorf("called %q", calls)
	}
}

// TestKeyInACertificateFile: PostgreSQL takes a file with certificate and key together; a look tells of the certificate alone, whoever names the file.
func TestKeyInACertificateFile(t *testing.T) {
	p := newPGHost(t)
	set := p.withTLSFiles("1", newTestCA(t, "clients"))
	p.Shell(`set -e
		cat $2 >>$1 && chown root:postgres $1 && chmod 640 $1 && install -o postgres -m 600 $1 /var/lib/postgresql/15/main/both.crt
		printf "ssl = on\nssl_cert_file = '$1'\nssl_key_file = '$1'\nssl_ca_file = 'both.crt'\n" >>/etc/postgresql/15/main/postgresql.conf`, set["ssl_cert_file"], set["ssl_key_file"])
	p.restarts("main")
	c := p.cluster("15/main")
	result, err := p.host.View.Get(KeyPostgres)
	if err != nil || bytes.Contains(result.Stdout, []byte("PRIVATE KEY")) {
		t.Fatalf("a private key came back (%v)", err)
	}
	for _, f := range []HostFile{c.Files[set["ssl_cert_file"]], c.Files["/var/lib/postgresql/15/main/both.crt"], c.Beside["both.crt"]} {
		if len(certificatesDER(f.Bytes)) != 1 {
			t.Errorf("%q: %q", f.Path, f.Bytes)
		}
	}
}
