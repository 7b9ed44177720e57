package tasks

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// An authority whose key was exchanged signs nothing, and is not backed up: nobody could use that. Nothing is changed. Nor is one whose certificate cannot be read.
func TestAnothersKey(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	to, _ := recipient(t, "cms")
	a := w.fleet.Authorities["clients"]
	refused := func(says string, err error) {
		t.Helper()
		if err == nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	look := func() (string, error) {
		w.connect()
		w.fleet.Hosts["a"].View.Put(w.one(context.Background(), AuthorityProbe(a)))
		_, err := Backup(a, w.one(context.Background(), BackupProbe(a, to)))
		return tree(t, w.path("clients")), err
	}
	if _, err := look(); err != nil || w.fleet.CA.CanSign("clients") != nil {
		t.Fatalf("%v, %v", err, w.fleet.CA.CanSign("clients"))
	}
	crt := w.path("clients", "certs/ca.crt")
	if out, err := w.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", w.path("clients", "keys/ca.key")); err != nil {
		t.Fatal(out)
	}
	before, err := look()
	refused("does not belong to "+crt, err)
	refused("does not belong to "+crt, w.fleet.CA.CanSign("clients"))
	request, _ := csr(t)
	_, err = w.issue(request, client("dbuser1"), "e", false)
	refused("does not belong to "+crt, err)
	if now := tree(t, w.path("clients")); now != before {
		t.Errorf("it was\n%s\nand is\n%s", before, now)
	}

	cert, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{cert.Raw, []byte("none"), append(pki.CertificatePEM(cert)[:200], '\n')} {
		if err := os.WriteFile(crt, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Backup(a, w.one(context.Background(), BackupProbe(a, to)))
		refused(crt, err)
	}
}
