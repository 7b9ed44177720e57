package tasks

import (
	"context"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// W22, W23, W26: revoked, listed, and a new certificate from the same key.
func TestRevoke(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	ctx := context.Background()
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	ca := w.fleet.CA.(*CA)
	before, _ := ca.CRL("clients")
	// By hand at the same time: the first list that is made is refused, the second holds both.
	other, err := w.issue(request, client("dbuser2"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.openssl("ca", "-config", w.path("clients", "openssl.cnf"), "-revoke", w.path("clients", "issued", pki.FormatSerial(other.SerialNumber))); err != nil {
		t.Fatal(out)
	}
	list, err := ca.Revoke(ctx, "clients", "keyCompromise", 0, leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := ca.Certificate("clients")
	if err := pki.CheckCRL(list, cert, before, []pki.Revoked{{Serial: leaf.SerialNumber}, {Serial: other.SerialNumber}}, time.Now()); err != nil {
		t.Error(err)
	}
	if out, _ := w.openssl("verify", "-crl_check", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.write("crl.pem", pki.CRLPEM(list)), w.write("leaf.pem", pki.CertificatePEM(leaf))); !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl verify: %s", out)
	}
	if warnings := strings.Join(ca.Warnings(), "\n"); !strings.Contains(warnings, "revoked by hand") {
		t.Errorf("warnings: %s", warnings)
	}
	again, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil || again.Equal(leaf) {
		t.Errorf("asked again, the revoked certificate came back (%v)", err)
	}
	for i := range 2 {
		next, err := ca.Revoke(ctx, "clients", "superseded", 30*24*time.Hour, leaf.SerialNumber)
		if err != nil || next.Number.Cmp(list.Number) <= 0 || time.Until(next.NextUpdate) > 31*24*time.Hour {
			t.Fatalf("list %d: %v", i, err)
		}
		for _, e := range next.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(leaf.SerialNumber) == 0 && e.ReasonCode != 1 {
				t.Errorf("the reason became %d", e.ReasonCode)
			}
		}
		list = next
	}
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	for name, f := range map[string]func() error{
		"a serial number that it never gave": func() error { _, err := ca.Revoke(ctx, "clients", "superseded", 0, big.NewInt(77)); return err },
		"no such reason":                     func() error { _, err := ca.Revoke(ctx, "clients", "boredom", 0, leaf.SerialNumber); return err },
		"no such authority":                  func() error { _, err := ca.Revoke(ctx, "client", "superseded", 0); return err },
	} {
		if err := f(); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
