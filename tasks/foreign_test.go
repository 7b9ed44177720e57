package tasks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// keeper is whoever keeps an authority elsewhere: a folder per authority with what was handed out, and openssl.
type keeper struct {
	w   *caWorld
	dir string
}

// sign does what the README says that is handed out, and hands in what came of it. The key is made the first time.
func (k *keeper) sign(name string, patterns ...string) *desk.Intake {
	t := k.w.t
	t.Helper()
	parties, err := Parties(k.w.fleet.Authorities)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(k.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range parties {
		if parties[i].Name != name {
			continue
		}
		papers, err := parties[i].Papers(k.w.now())
		if err != nil || len(papers) == 0 {
			t.Fatalf("%s is asked for nothing: %v", name, err)
		}
		for _, p := range papers {
			if err := os.WriteFile(filepath.Join(dir, p.Name), p.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command("sh", "-ec", `grep '^    openssl' README | sed 's/ -aes256//' >commands; sh -e commands`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var files []desk.File
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(dir, p))
		for _, f := range found {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, desk.File{Name: f, Data: data})
		}
	}
	in, err := desk.Check(parties, nil, files, k.w.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Store(k.w.now()); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestAuthorityBelowOffline: an intermediate on a host, and one below it on another, under a root that is kept elsewhere.
func TestAuthorityBelowOffline(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	w := newCAWorld(t,
		pki.Authority{Name: "safe", Offline: true, Subject: `CN=Safe Root,O=Ex / am\, "ple" \+ $x`, ValidFor: 10 * year, Desk: filepath.Join(base, "desk")},
		pki.Authority{Name: "middle", Host: "a", Issuer: "safe", Subject: `CN=middle,O=Ex / am\, "ple" \+ \\ $x Grüße #`, ValidFor: 6 * year},
		pki.Authority{Name: "bottom", Host: "b", Issuer: "middle", Subject: "CN=bottom", ValidFor: 3 * year})
	k := &keeper{w, base}
	at := desk.Desk{Dir: filepath.Join(base, "desk")}
	waits := func(changed bool, host string, task *authorityTask, soft bool) {
		t.Helper()
		got, err := w.runTask(host, task)
		if wait := AsWaiting(err); got != changed || wait == nil || wait.Soft != soft || wait.Authority != "safe" {
			t.Fatalf("%s: changed %v, want %v; %v", host, got, changed, err)
		}
	}
	waits(true, "a", &authorityTask{}, false)
	waits(false, "a", &authorityTask{}, false)
	waits(true, "b", &authorityTask{}, false) // its key
	waits(false, "b", &authorityTask{}, false)
	if _, err := w.fleet.CA.Chain("bottom"); AsWaiting(err) == nil {
		t.Errorf("chain of bottom: %v", err)
	}
	requests, err := at.Requests()
	if err != nil || len(requests) != 1 {
		t.Fatalf("requests: %v, %v", requests, err)
	}
	if err := os.RemoveAll(at.Dir); err != nil {
		t.Fatal(err)
	}
	waits(true, "a", &authorityTask{}, false) // lost, and made again
	if again, _ := at.Requests(); len(again) != 1 || !pki.SameKey(again[0].Public, requests[0].Public) {
		t.Fatal("the request is for another key")
	}
	in := k.sign("safe", "*.crt", "*.crl")
	if len(in.Anchors) != 1 || len(in.Answers) != 1 || len(in.Lists) != 1 {
		t.Fatalf("handed in: %+v", in)
	}
	w.mustRun("a", "b")
	chain, err := w.fleet.CA.Chain("bottom")
	if err != nil || len(chain) != 3 {
		t.Fatalf("chain of %d: %v", len(chain), err)
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("once more: %v %v", changed, err)
	}
	list, err := w.fleet.CA.CRL("safe")
	if err != nil {
		t.Fatal(err)
	}
	roots, lists := w.write("roots.pem", pki.CertificatePEM(chain[2])), w.write("lists.pem", bytes.Join([][]byte{pki.CRLPEM(list), w.crl("middle")}, nil))
	if out, _ := w.openssl("verify", "-x509_strict", "-crl_check_all", "-CAfile", roots, "-CRLfile", lists, "-untrusted", w.write("middle.pem", pki.CertificatePEM(chain[1])), w.write("bottom.pem", pki.CertificatePEM(chain[0]))); !strings.Contains(out, ": OK") {
		t.Errorf("openssl verify: %s", out)
	}

	// A renewal: what is in force goes on to sign.
	force := &authorityTask{Name: "middle", Only: "renew", Force: true}
	waits(true, "a", force, true)
	if changed, err := w.run("b"); changed || err != nil {
		t.Errorf("below it: %v %v", changed, err)
	}
	w.now = func() time.Time { return time.Now().Add(time.Second) }
	k.sign("safe", "*.crt")
	if changed, err := w.run("a"); !changed || err != nil {
		t.Fatalf("the renewal: %v %v", changed, err)
	}
	now, err := w.fleet.CA.Chain("middle")
	if err != nil || now[0].Equal(chain[1]) || !pki.SameKey(now[0].PublicKey, chain[1].PublicKey) {
		t.Errorf("after the renewal: %v", err)
	}
}

// TestIssueElsewhere: an answer serves once, for the host and the template that it was asked for; what shall be revoked serves no more.
func TestIssueElsewhere(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	w := newCAWorld(t, pki.Authority{Name: "safe", Offline: true, Subject: "CN=Safe", ValidFor: 10 * year, Desk: filepath.Join(base, "desk")})
	k, ctx := &keeper{w, base}, context.Background()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "db1.example.net"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	ask := IssueRequest{CSR: der, Template: server("db1.example.net"), Host: "db1"}
	for _, form := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})} {
		ask.CSR = form
		if _, err := w.fleet.CA.Issue(ctx, "safe", ask); AsWaiting(err) == nil {
			t.Fatal(err)
		}
	}
	if wait := AsWaiting(second(w.fleet.CA.CRL("safe"))); wait == nil {
		t.Error("a list from nowhere")
	}
	k.sign("safe", "*.crt", "*.crl")
	cert, err := w.fleet.CA.Issue(ctx, "safe", ask)
	if err != nil {
		t.Fatal(err)
	}
	other := ask
	other.Template = server("db2.example.net")
	for name, r := range map[string]IssueRequest{"another name": other, "another host": {CSR: ask.CSR, Template: ask.Template, Host: "db2"}, "not that one": {CSR: ask.CSR, Template: ask.Template, Host: "db1", Not: cert}} {
		if _, err := w.fleet.CA.Issue(ctx, "safe", r); AsWaiting(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (desk.Desk{Dir: filepath.Join(base, "desk")}).Revoke(pki.Revoked{Serial: cert.SerialNumber, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.CA.Issue(ctx, "safe", ask); AsWaiting(err) == nil {
		t.Errorf("it shall be revoked: %v", err)
	}
	if _, _, err := w.fleet.CA.Canaries("safe"); err == nil {
		t.Error("canaries of an authority elsewhere")
	}
	w.now = func() time.Time { return time.Now().Add(2 * year) }
	if _, err := w.fleet.CA.Issue(ctx, "safe", ask); AsWaiting(err) == nil {
		t.Errorf("it has ended: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }

// TestWaitsTogether: what several tasks of a host wait for is told at once, and one that cannot be gone on without decides.
func TestWaitsTogether(t *testing.T) {
	t.Parallel()
	a, b := &WaitingError{Authority: "x", What: []string{"1"}, Soft: true}, &WaitingError{Authority: "y", What: []string{"2"}}
	for want, got := range map[string]*WaitingError{
		"waiting for authority x: 1, y: 2 false": a.also(b),
		"waiting for authority x: 1, 1 true":     a.also(a),
		"waiting for authority y: 2 true":        b.softly().also(nil),
	} {
		if text := fmt.Sprint(got, " ", got.Soft); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	if !onlyWaiting(fmt.Errorf("x: %w", a)) || onlyWaiting(fmt.Errorf("x")) || onlyWaiting(errors.Join(a, os.ErrClosed)) || !onlyWaiting(errors.Join(a, b)) {
		t.Error("onlyWaiting")
	}
}
