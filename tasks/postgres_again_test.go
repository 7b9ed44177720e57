package tasks

import (
	"strings"
	"testing"
)

// TestProbeAgain: what was found out of a running server is not found out again while it is the same process, and any change is seen.
func TestProbeAgain(t *testing.T) {
	p := newPGHost(t)
	p.Shell(`rm -r /etc/postgresql/15/two /var/lib/postgresql/15/two
		mv /usr/bin/stat /usr/bin/stat.real
		printf '#!/bin/sh\ncase " $* " in *"/main/. "*) echo called >>/tmp/calls ;; esac\nexec /usr/bin/stat.real "$@"\n' >/usr/bin/stat; chmod 755 /usr/bin/stat`)
	// look tells whether everything was looked for, and what was found: without times, which differ.
	look := func(what string, full bool) (*Cluster, string) {
		t.Helper()
		p.Shell(`rm -f /tmp/calls`)
		if err := p.look(); err != nil {
			t.Fatal(err)
		}
		list, err := Clusters(p.host)
		if err != nil {
			t.Fatal(what, err)
		}
		c := list[0]
		if called := p.Shell(`[ ! -e /tmp/calls ] || echo yes`) == "yes"; called != full {
			t.Errorf("%s: looked for servers: %v, want %v", what, called, full)
		}
		r, err := p.host.View.Get(KeyPostgres)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(r.Stdout)) {
			if !strings.HasPrefix(line, "now=") && !strings.HasPrefix(line, "inside ") && !strings.HasPrefix(line, "server\t") {
				lines = append(lines, line)
			}
		}
		return c, strings.Join(lines, "")
	}
	first, text := look("first", true)
	second, again := look("second", false)
	if again != text || second.PID != first.PID || second.Start != first.Start || first.Start == "" {
		t.Errorf("process %d, %q; again %d, %q: first\n%s\nagain\n%s", first.PID, first.Start, second.PID, second.Start, text, again)
	}
	p.Shell(`echo "work_mem = '5MB'" >>/etc/postgresql/15/main/postgresql.conf`)
	if c, _ := look("with another setting", false); !strings.Contains(string(c.Config), "5MB") {
		t.Error("a setting was not seen")
	}

	p.Shell(`pg_ctlcluster 15 main restart`)
	third, _ := look("restarted", true)
	if third.PID == first.PID && third.Start == first.Start || !third.Running {
		t.Errorf("after a restart: %+v", third)
	}

	// Another process of that number, or a folder that is another one by now, is not the server.
	words := p.host.View.servers()
	for i, other := range map[int]string{2: "1", 3: "4711", 8: "/var/lib/postgresql/15"} {
		changed := append([]string(nil), words...)
		changed[i] = other
		p.host.View.clusters = changed
		if c, _ := look("with "+other, true); !c.Running {
			t.Errorf("with %s: %+v", other, c)
		}
	}
	p.Shell(`pg_ctlcluster 15 main stop`)
	if c, _ := look("stopped", false); c.Running {
		t.Error("a stopped server runs")
	}
	if words := p.host.View.servers(); len(words) != 1 {
		t.Errorf("of a stopped server: %q", words)
	}
}
