package tasks

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestProbeWithoutGetent: a small host has setpriv but no getent; its servers are found all the same.
func TestProbeWithoutGetent(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`rm -f /usr/bin/getent /bin/getent; ! command -v getent`)
	if c := p.cluster("15/main"); !c.Running || c.Problem != "" {
		t.Fatalf("%+v", c)
	}
}

// TestProbeCannotAsk: a server whose OS user can run no programs is not taken for one of version 0 that has nothing yet.
func TestProbeCannotAsk(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`printf '#!/bin/sh\necho "setpriv: failed to execute /bin/sh: Resource temporarily unavailable" >&2\nexit 126\n' >/opt/setpriv &&
		chmod 755 /opt/setpriv && mount --bind /opt/setpriv "$(command -v setpriv)"`)
	if err := p.look(); err != nil {
		t.Fatal(err)
	}
	if list, err := Clusters(p.host); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "Resource temporarily unavailable") {
		t.Fatal(err, len(list))
	}
}

// TestProbeOfHostileServers: whoever may run a server that is asked holds up neither the probe nor what it tells of the others.
func TestProbeOfHostileServers(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`set -e
		useradd -m mallory; mkdir -p /home/mallory/bin /home/mallory/data
		printf '#!/bin/sh\nsetsid sleep 300 &\nexec sleep 300\n' >/home/mallory/bin/psql; chmod 755 /home/mallory/bin/psql
		cp /bin/sleep /home/mallory/bin/postgres
		cd /home/mallory/data; echo 15 >PG_VERSION
		chmod -R 755 /home/mallory; chown -R mallory /home/mallory
		runuser -u mallory -- sh -c '
			sh -c "printf \"%s\n/home/mallory/data\n1\n5439\n/tmp\n\n\nready\n\" \$\$ >postmaster.pid; exec /home/mallory/bin/postgres 600" </dev/null >/dev/null 2>&1 &'`)
	p.Shell(`sleep 0.3`)
	began := time.Now()
	results, err := p.via.Do(context.Background(), PostgresProbe(p.host))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
	t.Log(time.Since(began))
	list, err := parseClusters(results[0].Stdout)
	if err != nil {
		t.Fatal(err)
	}
	main := slices.IndexFunc(list, func(c *Cluster) bool { return c.ID == "15/main" })
	if main < 0 || !list[main].Running || list[main].Problem != "" {
		t.Fatalf("%d clusters; %d is 15/main", len(list), main)
	}
	for _, c := range list {
		if c.OSUser == "mallory" && c.Problem == "" {
			t.Error("a server that does not answer has no problem")
		}
	}
}
