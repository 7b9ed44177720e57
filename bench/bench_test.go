package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files again")

func TestMedian(t *testing.T) {
	wall := func(s sample) time.Duration { return s.Wall }
	for _, c := range []struct {
		walls []time.Duration
		want  time.Duration
	}{{nil, 0}, {[]time.Duration{7}, 7}, {[]time.Duration{9, 1}, 5}, {[]time.Duration{9, 1, 2}, 2}, {[]time.Duration{100, 4, 1, 2}, 3}} {
		var samples []sample
		for _, w := range c.walls {
			samples = append(samples, sample{Wall: w})
		}
		if got := medianOf(samples, wall); got != c.want {
			t.Errorf("median of %v: got %d, want %d", c.walls, got, c.want)
		}
	}
}

// The log of a host that was asked by two connections: one with two sessions, one with none; and one that never logged in.
const authLog = `Server listening on 0.0.0.0 port 22.
Connection from 10.88.1.21 port 51502 on 10.88.1.21 port 22 rdomain ""
kex_exchange_identification: Connection closed by remote host
Connection from 10.88.1.1 port 44946 on 10.88.1.21 port 22 rdomain ""
Accepted key ED25519 SHA256:b6hYkstNeQnos found at /home/ops/.ssh/authorized_keys:1
Postponed publickey for ops from 10.88.1.1 port 44946 ssh2 [preauth]
Accepted key ED25519 SHA256:b6hYkstNeQnos found at /home/ops/.ssh/authorized_keys:1
Accepted publickey for ops from 10.88.1.1 port 44946 ssh2: ED25519 SHA256:b6hYkstNeQnos
User child is on pid 31
Starting session: command for ops from 10.88.1.1 port 44946 id 0
Starting session: subsystem 'sftp' for ops from 10.88.1.1 port 44946 id 1
Close session: user ops from 10.88.1.1 port 44946 id 0
Accepted publickey for ops from 10.88.1.1 port 44948 ssh2: ED25519 SHA256:b6hYkstNeQnos
Closing connection to 10.88.1.1 port 44946
`

func TestReadCounts(t *testing.T) {
	if got, err := readCounts("81\n" + authLog); err != nil || got != (counts{connections: 2, sessions: 2, processes: 81}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := readCounts(authLog); err == nil {
		t.Error("an answer without a process id is no error")
	}
}

func TestWhatToolsSay(t *testing.T) {
	for _, c := range []struct {
		name           string
		read           func(string, *sample) error
		out            string
		changed, trips int
		wrong          bool
	}{
		{"events", readEvents, `{"type":"task","host":"db1","data":{"changed":9}}
{"type":"host","host":"db1","data":{"changed":8,"round_trips":6}}
{"type":"host","host":"app1","data":{"changed":3,"round_trips":5}}
`, 11, 6, false},
		{"no events", readEvents, "error: no such file\n", 0, 0, true},
		{"recap", readRecap, "TASK [Key] ***\nchanged: [db1]\n\nPLAY RECAP ***\ndb1.example.net            : ok=8    changed=7    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   \napp1.example.net           : ok=5    changed=1    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0   \n", 8, -1, false},
		{"no recap", readRecap, "ERROR! no such playbook\n", 0, 0, true},
		{"script", readScript, "ca1.example.net changed=0\ndb1.example.net changed=6\n", 6, -1, false},
	} {
		s := sample{RoundTrips: -1, Changed: -1}
		err := c.read(c.out, &s)
		if (err != nil) != c.wrong || err == nil && (s.Changed != c.changed || s.RoundTrips != c.trips) {
			t.Errorf("%s: got %+v, %v", c.name, s, err)
		}
	}
}

func TestJudge(t *testing.T) {
	login, refusal := proofs[0], proofs[1]
	for _, c := range []struct {
		proof proof
		line  string
		good  bool
	}{
		{login, "0 dbuser1|t|4660|/CN=dbuser1", true},
		{login, "0 dbuser1|t|4661|/CN=dbuser1", false},
		{login, "0 dbuser1|f||", false},
		{login, "2 psql: error: FATAL:  no", false},
		{refusal, "2 psql: error: connection to server failed: FATAL:  connection requires a valid client certificate", true},
		{refusal, "2 psql: error: connection to server failed: fe_sendauth: no password supplied", true},
		{refusal, "2 psql: error: connection to server failed: Connection refused", false},
		{refusal, "2 psql: error: definition of service \"dbuser1@db1\" not found", false},
		{refusal, "0 dbuser1|t|4660|/CN=dbuser1", false},
	} {
		if err := c.proof.judge(c.line, "1234"); (err == nil) != c.good {
			t.Errorf("%s, %q: %v", c.proof.name, c.line, err)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-sizes", "1,3", "-rtt", "0,20ms", "-runs", "1"}, io.Discard)
	if err != nil || len(o.sizes) != 2 || o.rtts[1] != 20*time.Millisecond || o.runs != 1 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range []string{"-sizes 0", "-sizes many", "-rtt 20", "-runs 0", "more"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	if _, err := choose([]string{"Ansible", "Puppet"}); err == nil {
		t.Error("an unknown tool is accepted")
	}
}

// made is a result with all tools at two sizes and one at a round-trip time.
func made() *results {
	r := &results{
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "bin/bench -sizes 1,10",
		Machine:  machine{Cores: 2, CPU: "Example CPU", Memory: "8 GB", Kernel: "Linux 6.1", Load: "0.05", Versions: []string{"pgfleet v0", "ansible 7.7.0"}},
		Commands: []command{{"pgfleet", firstRun, "bin/pgfleet -i LAB/inventory.yaml run playbooks/mtls.yaml"}},
	}
	for i, t := range tools {
		for j, size := range []int{1, 10} {
			for _, s := range t.steps {
				wall := time.Duration(i*i*4+1) * time.Duration(j*6+1) * 400 * time.Millisecond
				one := sample{Wall: wall, CPU: wall / 4, Hosts: wall / 2, Memory: int64(i+1) << 24, Connections: 2*size + 3, Sessions: 4*size + 3, Processes: 90 * (i + 1), RoundTrips: 6 - 7*min(i/2, 1)}
				r.add(size, 0, t.name, s.name, one)
				one.Wall *= 2
				r.add(size, 0, t.name, s.name, one)
			}
		}
	}
	r.add(10, 20*time.Millisecond, pgfleetNone, firstRun, sample{Wall: 3 * time.Second, RoundTrips: 6})
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v); go test ./bench -update writes it again:\n%s", path, err, got)
	}
}

func TestReport(t *testing.T) { golden(t, "RESULTS.golden", made().report()) }

func TestPlot(t *testing.T) {
	for name, r := range map[string]*results{"plot.golden": made(), "empty.golden": {}} {
		text := r.plot()
		golden(t, name, text)
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: a place is no number", name)
		}
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestColours(t *testing.T) {
	if len(colours) != len(tools) {
		t.Errorf("%d colours for %d tools", len(colours), len(tools))
	}
}

// What was measured can be read back, and drawn again.
func TestRedraw(t *testing.T) {
	dir := t.TempDir()
	if err := made().write(dir); err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"-redraw", "-out", dir}, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil || string(text) != made().report() {
		t.Errorf("redrawn: %v\n%s", err, text)
	}
}
