package tasks

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
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
	if !strings.Contains(got, "authority long is due, two thirds of its life are over") || !strings.Contains(got, "authority short is due, it ended on") {
		t.Errorf("in eight years: %q", got)
	}
}

// The authority's own host refuses a list that lacks a certificate that was revoked, whatever its caller believes.
func TestListLacksRevoked(t *testing.T) {
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
	tbs, algorithm, err := pki.CRLTBS(before.Certificate, big.NewInt(9), before.Revoked, w.now())
	if err != nil {
		t.Fatal(err)
	}
	reply := w.reply(caStep(a, w.now(), newCARequest("crl", "number", "09", "algorithm", algorithm, "tbs", octal(tbs))))
	if want := "lacks the revoked certificate " + pki.FormatSerial(leaf.SerialNumber); !strings.Contains(reply.Answers[0].Refused, want) {
		t.Errorf("%q, want %q", reply.Answers[0].Refused, want)
	}
}

// What the authority's own host refuses, whatever its caller believes: a key that another host has, a new key beside a certificate whose key is lost, a certificate for another key, and one
// that the chain above it does not bear.
func TestHostOfAuthorityRefuses(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, append(walkthrough()[:1], pki.Authority{Name: "other", Host: "a", Subject: "CN=other", ValidFor: year})...)
	w.mustRun("a")
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
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
