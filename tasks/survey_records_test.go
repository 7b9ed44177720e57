package tasks

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// records asks an authority for them, as a survey does.
func (w *caWorld) records(t *testing.T, name string) map[string]survey.Record {
	t.Helper()
	r := w.one(t.Context(), recordsProbe(w.fleet.Authorities[name]))
	list, err := parseRecords(r)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, r.Stdout, r.Stderr)
	}
	if state, err := ParseAuthority(r); err != nil || state.Folder == "" {
		t.Fatalf("the same answer has no status: %v", err)
	}
	out := map[string]survey.Record{}
	for _, rec := range list {
		out[rec.Serial] = rec
	}
	if len(out) != len(list) {
		t.Errorf("%d records of %d serial numbers", len(list), len(out))
	}
	return out
}

// Every issued certificate is told once, with whom it was issued for; what came in by hand has no host.
func TestRecords(t *testing.T) {
	for _, shell := range []string{"sh", "bash --posix", "busybox ash"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			w := newCAWorld(t, walkthrough()[:1]...)
			w.shell = strings.Fields(shell)
			if _, err := exec.LookPath(w.shell[0]); err != nil {
				transporttest.Unable(t, err.Error())
			}
			if got := w.records(t, "clients"); len(got) != 0 {
				t.Errorf("before there is an authority: %v", got)
			}
			w.mustRun("a")
			canaries := len(w.records(t, "clients"))
			request, _ := csr(t)
			leaf, err := w.issue(request, client("größe |1"), "e", false)
			if err != nil {
				t.Fatal(err)
			}
			const imported = "pgfleet 1\nserial 0A\nprofile imported\nexpires 20991231235959Z\nsubject /CN=by hand\n"
			if err := os.WriteFile(w.path("clients", "issued", "0A"), []byte(imported), 0o600); err != nil {
				t.Fatal(err)
			}
			got := w.records(t, "clients")
			if len(got) != canaries+2 || canaries != 2 {
				t.Errorf("%d canaries, then %v", canaries, got)
			}
			serial := pki.FormatSerial(leaf.SerialNumber)
			want := survey.Record{Serial: serial, Host: "e", Profile: pki.ProfileClient, Expires: leaf.NotAfter, Subject: pki.OnelineSubject(leaf.Subject)}
			if got[serial] != want {
				t.Errorf("%+v, want %+v", got[serial], want)
			}
			if rec := got["0A"]; rec.Host != "" || rec.Subject != "/CN=by hand" || rec.Profile != "imported" || rec.Expires.Year() != 2099 {
				t.Errorf("%+v", rec)
			}
		})
	}
}

func FuzzParseIssued(f *testing.F) {
	for _, line := range []string{"0A 270101000000Z client e /CN=u", "0A 270101000000Z - - ", "x", "0A 27 client - /CN=u"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		i, err := parseIssued(line)
		if err != nil {
			return
		}
		if serial := pki.FormatSerial(i.Serial); serial == "" || len(serial)%2 != 0 {
			t.Errorf("%q became %+v", line, i)
		}
	})
}
