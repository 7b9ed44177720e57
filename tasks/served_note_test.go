package tasks

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// TestServedNote: what a server was seen to serve is believed until it reads its files again or is started anew, and not where the note is not whole or another's.
func TestServedNote(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	reload := &postgresReload{WithProof: true}
	p.must(true, settingsTask(p.withTLSFiles("1", ca)))
	p.must(true, settingsTask(p.withTrust("a", ca)))
	p.must(true, reload)
	const note = "/etc/pgfleet/15-main/served"
	if got := p.Shell("stat -c '%a %U' " + note); got != "644 root" {
		t.Errorf("the note: %s", got)
	}
	look := func(what, want string) *Cluster {
		t.Helper()
		c := p.cluster("15/main")
		r, err := p.host.View.Get(KeyPostgres)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"noted", "served"} {
			if got := bytes.Contains(r.Stdout, []byte("\n"+kind+" ")); got != (kind == want) {
				t.Errorf("%s: record %q: %v", what, kind, got)
			}
		}
		return c
	}
	shows := func(what, want string, reasons ...string) {
		t.Helper()
		c := look(what, want)
		if c.ServedProblem != "" || len(c.Served) == 0 || strings.Join(servedReasons(c), "; ") != strings.Join(reasons, "; ") {
			t.Errorf("%s: %q, %d served, %q, want %q", what, c.ServedProblem, len(c.Served), servedReasons(c), reasons)
		}
	}
	shows("proved", "noted")
	p.must(false, reload)

	// A report is about what a new connection sees.
	if r, err := p.Do(t.Context(), postgresProbe(p.host, "served")); err != nil || !bytes.Contains(r[0].Stdout, []byte("\nserved ")) {
		t.Errorf("believed a note where a connection was asked for: %v", err)
	}

	whole := p.ReadFile(note)
	head, body, _ := strings.Cut(whole, "\n")
	words := strings.SplitN(head, " ", 4)
	for what, text := range map[string]string{
		"empty":                       "",
		"cut off":                     whole[:len(whole)-1],
		"longer":                      whole + "\n",
		"of another folder":           strings.Join([]string{words[0], words[1], words[2], words[3] + "2"}, " ") + "\n" + body,
		"of another reload":           strings.Join([]string{words[0], words[2], words[2], words[3]}, " ") + "\n" + body,
		"of another start":            strings.Join([]string{words[0], words[1], words[1], words[3]}, " ") + "\n" + body,
		"without times":               words[0] + "\n" + body,
		"with a pattern for its time": strings.Join([]string{words[0], "*", "*", words[3]}, " ") + "\n" + body,
	} {
		p.WriteFile(note, text, 0o644)
		shows(what, "served")
	}
	p.WriteFile(note, whole, 0o644)
	shows("put back", "noted")

	// Files that it was not told of.
	p.host.Fleet.Run = "run-2"
	p.must(true, settingsTask(p.withTLSFiles("2", ca)))
	shows("with another certificate in its settings", "noted", "another certificate is served than that of the file")
	p.must(true, reload)
	shows("reloaded and proved", "noted")
	if p.ReadFile(note) == whole {
		t.Error("the note was not replaced")
	}

	p.Shell("pg_ctlcluster 15 main reload")
	for range 100 {
		if head, _, _ := strings.Cut(p.ReadFile(note), "\n"); p.cluster("15/main").since != strings.Join(strings.Fields(head)[1:3], " ") {
			break
		}
	}
	shows("reloaded by somebody else", "served")
	p.Shell("pg_ctlcluster 15 main restart")
	shows("restarted", "served")
	p.must(false, reload)
}

// TestServedNoteWithoutTLS: of a server that has no TLS any more nothing is noted, also where the same run has seen it serve these files before; with TLS again it has to show them anew.
func TestServedNoteWithoutTLS(t *testing.T) {
	p := newPGHost(t)
	ca := newTestCA(t, "clients")
	p.host.Fleet.CA = testCAs{"clients": ca}
	on := p.withTLSFiles("1", ca)
	off := maps.Clone(on)
	off["ssl"] = "off"
	p.must(true, settingsTask(on))
	p.must(true, &postgresReload{WithProof: true})
	before := p.ReadFile("/etc/pgfleet/15-main/served")
	p.must(true, settingsTask(off))
	p.must(true, &postgresReload{WithProof: true})
	if c := p.cluster("15/main"); c.ServedProblem != "" || len(c.Served) > 0 {
		t.Errorf("%d certificates are believed to be served by a server without TLS, %q", len(c.Served), c.ServedProblem)
	}
	if p.ReadFile("/etc/pgfleet/15-main/served") != before {
		t.Error("a note was written")
	}
	p.must(false, &postgresReload{WithProof: true})
	if got := p.host.Fleet.Proofs.Serves("db1", "15/main"); got != "" {
		t.Errorf("what a server without TLS shows: %q", got)
	}
}

// TestServedNoteTooLong: a file of very many authorities is noted nowhere, and fails nothing; nor is what is served since nobody knows when.
func TestServedNoteTooLong(t *testing.T) {
	ca := newTestCA(t, "clients")
	one := pki.CertificatePEM(ca.cert)
	for n, want := range map[int]bool{1: true, 5000: false} {
		c := &Cluster{DataDir: "/d", since: "1.5 1.5", Settings: map[string]Setting{"ssl_cert_file": {Value: "/c"}, "ssl_ca_file": {Value: "/a"}},
			Files: map[string]HostFile{"/c": {Bytes: one}, "/a": {Bytes: bytes.Repeat(one, n)}}}
		if note := servedNote(c); (note != "") != want {
			t.Errorf("%d authorities: %d bytes are noted", n, len(note))
		}
		if c.since = ""; servedNote(c) != "" {
			t.Error("noted without the times for which it holds")
		}
	}
}

// TestServedNoteBroken: a note that cannot be read is said to be it.
func TestServedNoteBroken(t *testing.T) {
	for _, body := range []string{"authority \"CN=a\"\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nauthority CN=a\n"} {
		c := &Cluster{}
		err := c.readNoted([]byte("note found 9 644 root root 1.5 /etc/pgfleet/x/served\n9 1 1 /d\n" + body))
		if err == nil || !strings.Contains(err.Error(), "/etc/pgfleet/x/served") || c.Served != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}
