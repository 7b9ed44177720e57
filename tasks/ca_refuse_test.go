package tasks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// What must not be signed is refused before anything is sent.
func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	authorities := append(walkthrough(),
		pki.Authority{Name: "narrow", Host: "a", Subject: "CN=narrow", ValidFor: 2 * year, LeafValidFor: 90 * 24 * time.Hour, AllowedNames: []string{"*.example.net", "10.88.*"}, Profiles: []pki.Profile{pki.ProfileServer}},
		pki.Authority{Name: "dying", Host: "a", Subject: "CN=dying", ValidFor: 100 * 24 * time.Hour},
		pki.Authority{Name: "company", External: "/nonexistent/company.pem"})
	w := newCAWorld(t, authorities...)
	w.mustRun("a")
	request, _ := csr(t)
	short := server("db1.example.net")
	short.ValidFor = 30 * 24 * time.Hour
	canary := client(CanaryPrefix + "clients")
	foreign := short
	foreign.DNSNames = []string{"db1.example.com"}
	long := client("u")
	long.ValidFor = 399 * 24 * time.Hour
	calls := w.calls
	for _, c := range []struct {
		name, authority string
		req             IssueRequest
		want            string
		is              error
	}{
		{"no such authority", "client", IssueRequest{CSR: request, Template: client("u"), Host: "e"}, "did you mean clients?", ErrRefused},
		{"external, no file", "company", IssueRequest{CSR: request, Template: client("u"), Host: "e"}, "/nonexistent/company.pem", os.ErrNotExist},
		{"not made yet", "servers", IssueRequest{CSR: request, Template: server("db1"), Host: "e"}, "servers", ErrPending},
		{"no host", "clients", IssueRequest{CSR: request, Template: client("u")}, "names no host", ErrRefused},
		{"a canary's name", "clients", IssueRequest{CSR: request, Template: canary, Host: "e"}, "are for canaries", ErrRefused},
		{"no request", "clients", IssueRequest{CSR: []byte("x"), Template: client("u"), Host: "e"}, "read certificate request", ErrRefused},
		{"life", "clients", IssueRequest{CSR: request, Template: long, Host: "e"}, "399d is longer than the 398d", ErrRefused},
		{"life of this authority", "narrow", IssueRequest{CSR: request, Template: server("db1.example.net"), Host: "e"}, "90d", ErrRefused},
		{"name", "narrow", IssueRequest{CSR: request, Template: foreign, Host: "e"}, `"db1.example.com" is not among its allowed_names`, ErrRefused},
		{"profile", "narrow", IssueRequest{CSR: request, Template: client("u"), Host: "e"}, "profile client", ErrRefused},
		{"authority ends", "dying", IssueRequest{CSR: request, Template: client("u"), Host: "e"}, "due for renewal", pki.ErrAuthorityDue},
	} {
		_, err := w.fleet.CA.Issue(context.Background(), c.authority, c.req)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if w.calls != calls {
		t.Errorf("%d calls were made for requests that are refused", w.calls-calls)
	}
	if _, err := w.fleet.CA.Issue(context.Background(), "narrow", IssueRequest{CSR: request, Template: short, Host: "e"}); err != nil {
		t.Error(err)
	}
}

// W40: the certificate of another authority, its chain, and its list if the file holds one.
func TestExternalAuthority(t *testing.T) {
	t.Parallel()
	other := newCAWorld(t, walkthrough()[1:]...)
	other.mustRun("b", "c")
	chain, err := other.fleet.CA.Chain("servers")
	if err != nil {
		t.Fatal(err)
	}
	bare := other.write("bare.pem", pki.CertificatePEM(chain...))
	full := other.write("full.pem", append(pki.CertificatePEM(chain...), other.crl("servers")...))
	w := newCAWorld(t, pki.Authority{Name: "bare", External: bare}, pki.Authority{Name: "full", External: full}, pki.Authority{Name: "gone", External: "/nonexistent/x.pem"})
	for _, name := range []string{"bare", "full"} {
		got, err := w.fleet.CA.Chain(name)
		if err != nil || len(got) != 2 || !got[0].Equal(chain[0]) || !got[1].Equal(chain[1]) {
			t.Errorf("%s: chain of %d, %v", name, len(got), err)
		}
		if _, _, err := w.fleet.CA.Canaries(name); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: canaries: %v", name, err)
		}
	}
	if _, err := w.fleet.CA.CRL("full"); err != nil {
		t.Error(err)
	}
	if _, err := w.fleet.CA.CRL("bare"); AsWaiting(err) == nil {
		t.Errorf("no list in the file: %v", err)
	}
	if _, err := w.fleet.CA.Certificate("gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// An authority that is due or too short for its leaves is named, once.
func TestDueAuthoritiesAreNamed(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, pki.Authority{Name: "long", Host: "a", Subject: "CN=long", ValidFor: 10 * year}, pki.Authority{Name: "short", Host: "a", Subject: "CN=short", ValidFor: year})
	w.mustRun("a")
	ca := w.fleet.CA.(*CA)
	if got := ca.Warnings(); len(got) != 1 || !strings.Contains(got[0], "authority short ends on") {
		t.Errorf("now: %q", got)
	}
	if got := ca.Warnings(); len(got) != 0 {
		t.Errorf("said again: %q", got)
	}
	w.now = func() time.Time { return time.Now().Add(8 * year) }
	got := strings.Join(ca.Warnings(), "\n")
	if !strings.Contains(got, "authority long is due, two thirds of its life are over") || !strings.Contains(got, "authority short ended on ") ||
		!strings.Contains(got, "; declare its successor (replaces: short) and run pgfleet rotate-ca") {
		t.Errorf("in eight years: %q", got)
	}
	// An intermediate is renewed by itself; a successor that is declared only has to be put in force.
	w = newCAWorld(t, append(walkthrough()[1:], pki.Authority{Name: "servers_root_g2", Host: "a", Subject: "CN=g2", Replaces: "servers_root"})...)
	w.mustRun("b", "c")
	w.now = func() time.Time { return time.Now().Add(8 * year) }
	if got := w.fleet.CA.(*CA).Warnings(); len(got) != 1 || !strings.Contains(got[0], "authority servers_root is due, ") ||
		!strings.HasSuffix(got[0], "; its successor servers_root_g2 is declared: run pgfleet rotate-ca") {
		t.Errorf("in eight years: %q", got)
	}
}

// The authority's own host refuses a list that lacks a certificate that was revoked, that names one that was not, or whose number is below that of the next, whatever its caller believes.
func TestListsThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	a := w.fleet.Authorities["clients"]
	before, err := ParseAuthority(w.one(context.Background(), AuthorityProbe(a)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.runTask("a", &revokeTask{Reason: "superseded", List: "due", named: []namedCertificate{{"clients", leaf.SerialNumber}}}); err != nil {
		t.Fatal(err)
	}
	after, err := ParseAuthority(w.one(context.Background(), AuthorityProbe(a)))
	if err != nil {
		t.Fatal(err)
	}
	// Revoked once more, it keeps time and reason.
	records := tree(t, w.path("clients", "revoked"))
	if got := w.reply(caStep(a, w.now(), newCARequest("revoke", "serial", pki.FormatSerial(leaf.SerialNumber), "reason", "keyCompromise"))).Answers[0]; got.Refused != "" {
		t.Error(got.Refused)
	}
	if now := tree(t, w.path("clients", "revoked")); now != records {
		t.Errorf("records were\n%s\nand are\n%s", records, now)
	}
	// Of one whose end nobody knows it is not known that it is over.
	endless := pki.Revoked{Serial: big.NewInt(0x4712), At: w.now()}
	if err := os.WriteFile(w.path("clients", "revoked", "4712"), []byte("4712 "+writeIndexTime(w.now())+" superseded\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	revoked := append(slices.Clone(after.Revoked), endless)
	last := new(big.Int).Sub(after.NextNumber, big.NewInt(1))
	other := pki.Revoked{Serial: big.NewInt(0x4711), At: w.now(), Expires: leaf.NotAfter}
	list := tree(t, w.path("clients", "crl"))
	for _, c := range []struct {
		number  *big.Int
		revoked []pki.Revoked
		want    string
		stale   bool
	}{
		{big.NewInt(99), after.Revoked, "lacks the revoked certificate 4712", true},
		{big.NewInt(99), append(slices.Clone(before.Revoked), endless), "lacks the revoked certificate " + pki.FormatSerial(leaf.SerialNumber), true},
		{big.NewInt(99), append(slices.Clone(revoked), other), "names certificate 4711, which is not on record as revoked", false},
		{last, revoked, "is below", true},
	} {
		tbs, algorithm, err := pki.CRLTBS(before.Certificate, c.number, c.revoked, w.now())
		if err != nil {
			t.Fatal(err)
		}
		answer := w.reply(caStep(a, w.now(), newCARequest("crl", "number", pki.FormatSerial(c.number), "algorithm", algorithm, "tbs", octal(tbs)))).Answers[0]
		if !strings.Contains(answer.Refused, c.want) || (answer.field("stale") == "yes") != c.stale {
			t.Errorf("%q (stale: %q), want %q", answer.Refused, answer.field("stale"), c.want)
		}
	}
	if now := tree(t, w.path("clients", "crl")); now != list {
		t.Error("a list that was refused is there")
	}
}

// What the authority's own host refuses, whatever its caller believes: a key that another host has, a serial number that was given, a new key beside a certificate whose key is lost, a certificate for another key, and one
// that the chain above it does not bear.
func TestHostOfAuthorityRefuses(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, append(walkthrough()[:1], pki.Authority{Name: "other", Host: "a", Subject: "CN=other", ValidFor: year})...)
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.issue(request, client("dbuser1"), "f", false); err == nil || !strings.Contains(err.Error(), "its key is used by host e already: make a new key on f") {
		t.Errorf("a key that another host has: %v", err)
	}
	a := w.fleet.Authorities["clients"]
	cert, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.fleet.CA.Certificate("other")
	if err != nil {
		t.Fatal(err)
	}
	pem := func(c *x509.Certificate) string { return octal(pki.CertificatePEM(c)) }
	refused := func(request caRequest, want string) {
		t.Helper()
		before := tree(t, w.path("clients", "certs"))
		if got := w.reply(caStep(a, w.now(), request)).Answers[0].Refused; !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if after := tree(t, w.path("clients", "certs")); after != before {
			t.Errorf("certificates were\n%s\nand are\n%s", before, after)
		}
	}
	_, key := csr(t)
	again, err := certificateRequest(cert, key, IssueRequest{Template: client("dbuser2"), Host: "e"}, w.now())
	if err != nil {
		t.Fatal(err)
	}
	again.fields[1] = "serial " + pki.FormatSerial(leaf.SerialNumber)
	record := tree(t, w.path("clients", "issued"))
	refused(again, "is used already")
	if now := tree(t, w.path("clients", "issued")); now != record {
		t.Error("the record of another certificate was written over")
	}
	refused(newCARequest("install", "certificate", pem(other), "chain", pem(other)), "the certificate is not for the key of this authority")
	refused(newCARequest("install", "certificate", pem(cert), "chain", pem(other)), "openssl does not accept the certificate with the chain above it")
	if err := os.Remove(w.path("clients", "keys/ca.key")); err != nil {
		t.Fatal(err)
	}
	refused(newCARequest("init-key", "name", "clients", "type", "ecdsa-p256"), "but its key is missing: bring back")
	if _, err := os.Stat(w.path("clients", "keys/ca.key")); err == nil {
		t.Error("a new key was made beside the certificate of the lost one")
	}
}

// Nothing is done below a folder in which others could put another authority's place, be it open to the group or to everybody; where they can only add to it, it is.
func TestFolderOpenToOthers(t *testing.T) {
	t.Parallel()
	above := filepath.Join(t.TempDir(), "above")
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	a := walkthrough()[0]
	a.Dir = filepath.Join(above, "ca")
	w := newCAWorld(t, a)
	for mode, open := range map[os.FileMode]bool{0o755: false, 0o775: true, 0o757: true, 0o777: true, 0o777 | os.ModeSticky: false} {
		if err := os.Chmod(above, mode); err != nil {
			t.Fatal(err)
		}
		r := w.one(context.Background(), caStep(w.fleet.Authorities[a.Name], w.now(), newCARequest("status")))
		if refused := r.Err != nil; refused != open || refused && !strings.Contains(string(r.Stderr), "others may write to "+above) {
			t.Errorf("%v: %v %s", mode, r.Err, r.Stderr)
		}
	}
}

// From 2050 on index.txt has years of four digits, and so have the records: the clock of the authority's host decides whether a certificate on record has ended.
func TestListsAfter2049(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, pki.Authority{Name: "clients", Host: "a", Subject: "CN=clients", ValidFor: 40 * year})
	w.mustRun("a")
	request, _ := csr(t)
	for _, at := range []time.Time{time.Now(), time.Date(2049, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2051, 2, 28, 0, 0, 0, 0, time.UTC)} {
		leaf, err := w.issue(request, client("dbuser1"), "e", true) // its own openssl has the clock of now
		if err != nil {
			t.Fatal(err)
		}
		later := at.Sub(time.Now()).Round(time.Second)
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "date"), fmt.Appendf(nil, "#!/bin/sh\nexec /bin/date -d @$(($(/bin/date +%%s) + %d)) \"$@\"\n", int(later.Seconds())), 0o700); err != nil {
			t.Fatal(err)
		}
		w.program = strings.Replace(caProgram, "\nPATH=", "\nPATH="+bin+":", 1)
		w.now = func() time.Time { return time.Now().Add(later) }
		w.fleet.Now = w.now()
		if changed, err := w.runTask("a", &revokeTask{Reason: "superseded", List: "new", named: []namedCertificate{{"clients", leaf.SerialNumber}}}); !changed || err != nil {
			t.Fatalf("%s: changed %v, %v", at.Format("2006-01-02"), changed, err)
		}
		state, err := ParseAuthority(w.one(t.Context(), AuthorityProbe(w.fleet.Authorities["clients"])))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(state.Revoked, func(r pki.Revoked) bool { return r.Serial.Cmp(leaf.SerialNumber) == 0 })
		if i < 0 || state.Revoked[i].At.Sub(at).Abs() > time.Minute || len(state.Differs) > 0 {
			t.Errorf("%s: revoked are %v; %q", at.Format("2006-01-02"), state.Revoked, state.Differs)
		}
		w.program, w.now, w.fleet.Now = "", time.Now, time.Now()
	}
}
