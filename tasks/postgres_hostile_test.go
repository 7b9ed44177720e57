package tasks

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever owns a folder may plant links in it. Root follows none of them, for reading or for writing.
func TestHostileLinks(t *testing.T) {
	p := newPGHost(t)
	p.WriteFile("/root/secret", "for root only\n", 0o600)
	p.WriteFile("/etc/important", "root's own\n", 0o644)
	const hba = "/etc/postgresql/15/main/pg_hba.conf"

	// Reading: a link to what only root may read shows nothing of it.
	p.Shell(`mv "$1" "$1.was"; chmod 711 /root; ln -s /root/secret "$1"`, hba)
	if c := p.cluster("15/main"); strings.Contains(string(c.HBA), "root only") || c.Problem == "" {
		t.Fatalf("%q %q", c.HBA, c.Problem)
	}
	p.Shell(`mv -f "$1.was" "$1"`, hba)

	// Writing: the links lead to files of root's; nothing arrives there, and owners and modes stay.
	state := func() string { return p.Shell("stat -c '%n %U:%G %a %s' /etc/important /root/secret /etc/passwd") }
	before := state()
	for _, plant := range []string{
		`ln -s /etc/important "$1.pgfleet-new"`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-new`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-check`,
		`ln -s /etc/important /etc/postgresql/15/main/postgresql.conf.pgfleet-check.pgfleet-new`,
	} {
		p.Shell(`runuser -u postgres -- sh -c "$2" sh "$1"`, hba, plant)
	}
	p.must(true, settingsTask(map[string]string{"work_mem": "9MB"}))
	p.must(true, &postgresIdent{Lines: []string{"a b c"}})
	if after := state(); after != before {
		t.Fatalf("before\n%s\nafter\n%s", before, after)
	}
	p.Shell(`cp /etc/postgresql/15/main/pg_ident.conf /etc/ident-of-root; chmod 644 /etc/ident-of-root
		rm /etc/postgresql/15/main/pg_ident.conf; runuser -u postgres -- ln -s /etc/ident-of-root /etc/postgresql/15/main/pg_ident.conf`)
	was := p.ReadFile("/etc/ident-of-root")
	if err := p.run(&postgresIdent{Lines: []string{"d e f"}}); err == nil {
		t.Error("a file of root's was changed through a link that postgres planted")
	} else {
		t.Log(err)
	}
	if p.ReadFile("/etc/ident-of-root") != was {
		t.Error("a file of root's was written")
	}
}

// Anybody can run a process named postgres, name any folder in a configuration file that is his, and print what he likes when asked. None of it makes
// root run his programs, and none of it makes up another cluster.
func TestForgedServers(t *testing.T) {
	p := newPGHost(t)
	p.host.Clusters = nil
	p.Shell(`set -e
		useradd -m mallory; mkdir -p /home/mallory/bin
		printf '#!/bin/sh\nid >>/tmp/ran\n' | tee /home/mallory/bin/psql >/home/mallory/bin/openssl
		cp /bin/sleep /home/mallory/bin/postgres
		chmod -R 755 /home/mallory; chown -R mallory /home/mallory; chmod 1777 /tmp
		runuser -u mallory -- sh -c '
			cd /tmp; echo 15 >PG_VERSION
			sh -c "echo \$\$ >postmaster.pid; exec /home/mallory/bin/postgres 600" </dev/null >/dev/null 2>&1 &
			mkdir /home/mallory/data; cd /home/mallory/data; echo 15 >PG_VERSION
			sh -c "echo \$\$ >postmaster.pid; exec /home/mallory/bin/postgres 600" </dev/null >/dev/null 2>&1 &'
		mkdir -p /home/mallory/bin/bin; cp /home/mallory/bin/psql /home/mallory/bin/bin/postgres
		mkdir -p /srv/open; chmod 1777 /srv/open; echo ../../../../home/mallory/bin >/srv/open/PG_VERSION
		mkdir -p /etc/postgresql/15/evil; echo "data_directory = '/srv/open'" >/etc/postgresql/15/evil/postgresql.conf
		chown -R postgres /etc/postgresql/15/evil`)
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	_, err := Clusters(p.host)
	if err == nil || !strings.Contains(err.Error(), "15/evil") {
		t.Errorf("%v: the configuration that leads nowhere is not named", err)
	}
	p.Shell("rm -r /etc/postgresql/15/evil")
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	clusters, err := Clusters(p.host)
	if err != nil || len(clusters) != 2 || clusters[0].OSUser != "postgres" || clusters[1].OSUser != "postgres" {
		t.Errorf("%v %+v", err, clusters)
	}
	if out := p.Shell("cat /tmp/ran 2>/dev/null || true"); out != "" {
		t.Errorf("programs of mallory's were run: %s", out)
	}
}

// What the cluster's OS user prints is taken for what he says, not for what root saw.
func TestForgedRecords(t *testing.T) {
	forged := "cluster 34\nuser=root\nbin=/home/evil\nmajor=15\nx\n"
	inside := "pidfile 4\n1\n2\n\n" + forged + "end 0\n\n"
	out := fmt.Sprintf("host 5\nnow=1\ncluster 34\ndata=/d\nuser=postgres\nmajor=15\nx=y\ninside %d\n%s\nend 0\n\n", len(inside), inside)
	list, err := parseClusters([]byte(out))
	if err != nil || len(list) != 1 || list[0].OSUser != "postgres" || list[0].BinDir != "" || list[0].Problem == "" {
		t.Fatalf("%v %+v", err, list)
	}
	for _, bad := range []string{"/x#g;1e id>&2;#", "/a\nb", "relative", "/a/../b", "/a$(id)"} {
		c := &Cluster{DataDir: "/d", HBAFile: bad}
		if c.checkPaths(); c.Problem == "" {
			t.Errorf("pg_hba.conf at %q", bad)
		}
	}
}

// A server may say of its files what it likes: root changes none of his own for it, and writes in no folder where others can.
func TestForgedPlaces(t *testing.T) {
	p := newPGHost(t)
	p.Shell("mkdir -p /srv/open && chmod 1777 /srv/open && cp /etc/postgresql/15/main/pg_hba.conf /srv/open/pg_hba.conf && mkdir -p /srv/mine && cp /srv/open/pg_hba.conf /srv/mine/rules && chgrp postgres /srv/mine/rules")
	act := func(path string) string {
		cmd := p.Command(t.Context(), "/bin/sh", "-c", postgresLib+"\nactor \"$1\" 2>&1 && echo \"$who\" || echo refused", "sh", "postgres", path)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for path, want := range map[string]string{"/etc/passwd": "refused", "/etc/nsswitch.conf": "refused", "/srv/open/pg_hba.conf": "refused", "/srv/mine/rules": "root",
		"/etc/postgresql/15/main/pg_hba.conf": "postgres"} {
		if got := act(path); got != want && (want != "refused" || !strings.HasSuffix(got, want)) {
			t.Errorf("%s: %q, wanted %s", path, got, want)
		}
	}
}
