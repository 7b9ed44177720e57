package tasks

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// revoke runs the kind revoke on a host.
func (w *caWorld) revoke(host, reason string, certificates ...string) (changed bool, err error) {
	w.t.Helper()
	return w.runTask(host, task(w.t, "revoke", map[string]any{"reason": reason, "certificates": anyList(certificates)}))
}

func anyList(words []string) (out []any) {
	for _, word := range words {
		out = append(out, word)
	}
	return out
}

func named(cert *x509.Certificate) string { return "clients:" + pki.FormatSerial(cert.SerialNumber) }

// Where no list can be made because the clocks differ, nothing is put on record either: a record without a list would keep everybody else from going on.
func TestRevokeByAnotherClock(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	w.fleet.Now = time.Now().Add(-time.Hour)
	if _, err := w.revoke("a", "keyCompromise", named(leaf)); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("an hour ahead: %v", err)
	}
	if out, err := w.openssl("ca", "-config", w.path("clients", "openssl.cnf"), "-status", pki.FormatSerial(leaf.SerialNumber)); !strings.Contains(out, "(V)") {
		t.Errorf("it is on record as %s, %v", out, err)
	}
	w.fleet.Now = time.Now()
	if changed, err := w.revoke("a", "keyCompromise", named(leaf)); err != nil || !changed {
		t.Errorf("the clock is right: %v, %v", changed, err)
	}
}

// W22, W23, W26: revoked, listed, and a new certificate from the same key.
func TestRevoke(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := w.fleet.CA.CRL("clients")
	// By hand at the same time: the first list that is made is refused, the second holds both.
	other, err := w.issue(request, client("dbuser2"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	byHand := func() {
		if out, err := w.openssl("ca", "-config", w.path("clients", "openssl.cnf"), "-revoke", w.path("clients", "issued", pki.FormatSerial(other.SerialNumber))); err != nil {
			t.Fatal(out)
		}
	}
	start := w.calls
	w.cut = func(call int) (bool, bool) {
		if call == start+2 { // after the look, before the change
			byHand()
		}
		return false, false
	}
	if changed, err := w.revoke("a", "keyCompromise", named(leaf)); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	w.cut = nil
	list, err := w.fleet.CA.CRL("clients")
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := w.fleet.CA.Certificate("clients")
	if err := pki.CheckCRL(list, cert, before, []pki.Revoked{{Serial: leaf.SerialNumber}, {Serial: other.SerialNumber}}, time.Now()); err != nil {
		t.Error(err)
	}
	if out, _ := w.openssl("verify", "-crl_check", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.write("crl.pem", pki.CRLPEM(list)), w.write("leaf.pem", pki.CertificatePEM(leaf))); !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl verify: %s", out)
	}
	again, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil || again.Equal(leaf) {
		t.Errorf("asked again, the revoked certificate came back (%v)", err)
	}
	if changed, err := w.revoke("a", "superseded", named(leaf)); err != nil || changed {
		t.Errorf("revoked again: changed %v, %v", changed, err)
	}
	if got := revokedFor(list, leaf.SerialNumber); got != "keyCompromise" {
		t.Errorf("the reason became %s", got)
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	good, _, _ := w.fleet.CA.Canaries("clients")
	for what, serial := range map[string]string{"a serial number that it never gave": "clients:4D", "its test certificate": named(good)} {
		if _, err := w.revoke("a", "superseded", serial); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now, _ := w.fleet.CA.CRL("clients"); !now.Number.IsInt64() || now.Number.Cmp(list.Number) != 0 {
		t.Errorf("what was refused made list %d of %d", now.Number, list.Number)
	}
}

// A list is made anew once when it is asked for, and when somebody has revoked by hand.
func TestRevokeMakesLists(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	if changed, err := w.revoke("a", "unspecified"); changed || err != nil {
		t.Fatalf("an authority that is not made yet: changed %v, %v", changed, err)
	}
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := w.fleet.CA.CRL("clients")
	if changed, err := w.revoke("a", "unspecified"); changed || err != nil {
		t.Errorf("nothing to do: changed %v, %v", changed, err)
	}
	renew := task(t, "revoke", map[string]any{"list": "new"})
	if changed, err := w.runTask("a", renew); !changed || err != nil {
		t.Errorf("list: new: changed %v, %v", changed, err)
	}
	second, _ := w.fleet.CA.CRL("clients")
	if second.Number.Cmp(first.Number) <= 0 {
		t.Errorf("list %d after %d", second.Number, first.Number)
	}
	if out, err := w.openssl("ca", "-config", w.path("clients", "openssl.cnf"), "-revoke", w.path("clients", "issued", pki.FormatSerial(leaf.SerialNumber))); err != nil {
		t.Fatal(out)
	}
	if changed, err := w.revoke("a", "unspecified"); !changed || err != nil {
		t.Errorf("revoked by hand: changed %v, %v", changed, err)
	}
	if third, _ := w.fleet.CA.CRL("clients"); !pki.Lists(third, leaf.SerialNumber) {
		t.Error("what was revoked by hand is not listed")
	}
}

// The records tell who holds which certificate, and which are revoked.
func TestIssuedBy(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	for i, user := range []string{"dbuser1", "o'br\"ien x", "grün/CN=b"} {
		request, _ := csr(t)
		leaf, err := w.issue(request, client(user), "e", false)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := w.revoke("a", "superseded", named(leaf)); err != nil {
				t.Fatal(err)
			}
		}
	}
	results, err := w.Do(context.Background(), IssuedProbe(w.fleet.Authorities["clients"]))
	if err != nil {
		t.Fatal(err)
	}
	list, ca, err := IssuedBy("clients", results[0])
	if err != nil || ca == nil {
		t.Fatalf("%v, %v", ca, err)
	}
	var got []string
	for _, i := range list {
		text := i.Host + " " + string(i.Profile) + " " + i.Subject
		if i.Revoked != nil {
			text += " " + pki.ReasonName(i.Revoked.Reason)
		}
		if i.Expires.Before(time.Now()) {
			t.Errorf("%s ended on %s", text, i.Expires)
		}
		got = append(got, text)
	}
	slices.Sort(got)
	want := []string{`e client /CN=dbuser1 superseded`, `e client /CN=gr\xC3\xBCn/CN=b`, `e client /CN=o'br"ien x`,
		"nobody canary /CN=pgfleet-canary-clients", "nobody canary /CN=pgfleet-canary-clients cessationOfOperation"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An authority grows old: with thousands of records, of which many are revoked, each is looked at once, and index.txt is written once for all that is revoked in a call.
func TestRevokeAmongManyRecords(t *testing.T) {
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	var leaves []string
	for range 3 {
		request, _ := csr(t)
		leaf, err := w.issue(request, client("dbuser1"), "e", true)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, named(leaf))
	}
	count := filepath.Join(t.TempDir(), "count")
	w.program = strings.Replace(caProgram, "\nrebuild() {\n", "\nrebuild() {\n\techo >>"+count+"\n", 1)
	if changed, err := w.revoke("a", "superseded", leaves...); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if data, err := os.ReadFile(count); err != nil || len(data) != 1 {
		t.Errorf("index.txt was written %d times; %v", len(data), err)
	}

	const many = 2000
	var issued, revoked strings.Builder
	for i := range many {
		fmt.Fprintf(&issued, "issued 41%06X 991231235959Z client e /CN=dbuser1\n", i)
		fmt.Fprintf(&revoked, "revoked 41%06X 261126115000Z superseded 491231235959Z\n", i)
	}
	r := w.one(t.Context(), IssuedProbe(w.fleet.Authorities["clients"]))
	text := strings.Replace(string(r.Stdout), "\nissued ", "\n"+issued.String()+"issued ", 1)
	r.Stdout = []byte(strings.Replace(text, "\nrevoked ", "\n"+revoked.String()+"revoked ", 1))
	var list []Issued
	allocations := testing.AllocsPerRun(1, func() {
		var err error
		if list, _, err = IssuedBy("clients", r); err != nil {
			t.Fatal(err)
		}
	})
	over := 0
	for _, i := range list {
		if i.Revoked != nil && i.Revoked.Serial.Cmp(i.Serial) == 0 {
			over++
		}
	}
	if len(list) < many || over < many || allocations > 100*many {
		t.Errorf("%d certificates, %d of them revoked, %.0f allocations", len(list), over, allocations)
	}
}
