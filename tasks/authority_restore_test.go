package tasks

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// recipient makes somebody who can open backups: the recipient, and the file of the identity.
func recipient(t *testing.T, sealing string) (public []byte, identity string) {
	t.Helper()
	dir := t.TempDir()
	identity = filepath.Join(dir, "identity")
	var out []byte
	var err error
	if sealing == "age" {
		if _, err := exec.LookPath("age-keygen"); err != nil {
			transporttest.Unable(t, err.Error())
		}
		if out, err = exec.Command("age-keygen", "-o", identity).CombinedOutput(); err == nil {
			out, err = exec.Command("age-keygen", "-y", identity).CombinedOutput()
		}
	} else {
		cert := filepath.Join(dir, "crt")
		if out, err = exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:opener", "-keyout", identity, "-out", cert, "-days", "30", "-subj", "/CN=backup").CombinedOutput(); err == nil {
			out, err = os.ReadFile(cert)
		}
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bytes.TrimSpace(out), identity
}

// opener is the passphrase of the identity that recipient made.
func opener(sealing string) []byte {
	if sealing == "cms" {
		return []byte("opener")
	}
	return nil
}

// backup has authority clients backed up, through the file.
func (w *caWorld) backup(to []byte) *backup.Backup {
	w.t.Helper()
	a := w.fleet.Authorities["clients"]
	b, err := Backup(a, w.one(context.Background(), BackupProbe(a, to)))
	if err != nil {
		w.t.Fatal(err)
	}
	var file bytes.Buffer
	if err := backup.Write(&file, b); err != nil {
		w.t.Fatal(err)
	}
	if b, err = backup.Read(&file); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// key is the key of authority clients as it lies in its file.
func (w *caWorld) key() []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.path("clients", "keys/ca.key"))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// An authority whose folder is gone comes back from a backup that is older than what the fleet has seen; it is not below that: nothing is un-revoked, numbers rise,
// what was issued since is on record. Both ways to encrypt the key, and a key with a passphrase.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sealing string
		shell         []string
		reference     map[string]any
	}{
		{"age", "age", []string{"dash"}, nil},
		{"certificate", "cms", []string{"bash", "--posix"}, nil},
		{"passphrase", "cms", []string{"busybox", "ash"}, map[string]any{"prompt": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, _ := locked(t, c.reference, pki.Authority{})
			w.shell = c.shell
			w.mustRun("a")
			to, identity := recipient(t, c.sealing)
			issue := func(name string) *x509.Certificate {
				request, _ := csr(t)
				cert, err := w.issue(request, client(name), "e", false)
				if err != nil {
					t.Fatal(err)
				}
				return cert
			}
			revoke := func(cert *x509.Certificate) {
				task := &revokeTask{Reason: "keyCompromise", List: "due", named: []namedCertificate{{"clients", cert.SerialNumber}}}
				if _, err := w.runTask("a", task); err != nil {
					t.Fatal(err)
				}
			}
			before, gone := issue("before"), issue("gone")
			revoke(gone)
			b, key := w.backup(to), w.key()
			since, stolen := issue("since"), issue("stolen")
			revoke(before)
			revoke(stolen)
			list, err := w.fleet.CA.CRL("clients")
			if err != nil {
				t.Fatal(err)
			}
			seen := &survey.Seen{Number: list.Number, Certificates: []survey.Deployed{{Cert: since, Profile: pki.ProfileClient, Host: "e"}}}
			for _, e := range list.RevokedCertificateEntries {
				seen.Revoked = append(seen.Revoked, pki.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode, Expires: before.NotAfter})
			}
			restore := &Restore{Authority: w.fleet.Authorities["clients"], Backup: b, Identity: identity, Opener: opener(c.sealing), Seen: seen}
			if _, err := w.runTask("a", restore); err == nil || !strings.Contains(err.Error(), "not overwritten") {
				t.Fatalf("over an authority that is there: %v", err)
			}
			if err := os.RemoveAll(w.path("clients")); err != nil {
				t.Fatal(err)
			}
			w.connect()
			w.secret(w.fleet.KeySecret)
			if changed, err := w.runTask("a", restore); !changed || err != nil {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if !bytes.Equal(w.key(), key) {
				t.Error("the key is another")
			}
			again, err := w.fleet.CA.CRL("clients")
			if err != nil || again.Number.Cmp(list.Number) <= 0 {
				t.Fatalf("list %v after list %v, %v", again.Number, list.Number, err)
			}
			for _, cert := range []*x509.Certificate{before, gone, stolen} {
				if !pki.Lists(again, cert.SerialNumber) {
					t.Errorf("%s is not revoked any more", cert.Subject)
				}
			}
			if len(pki.Dropped(list, again)) > 0 {
				t.Error("the list lacks what the list before it names")
			}
			record, err := os.ReadFile(w.path("clients", "issued", pki.FormatSerial(since.SerialNumber)))
			if err != nil || !strings.Contains(string(record), "\nhost e\n") {
				t.Errorf("what was issued since: %v\n%s", err, record)
			}
			for _, cert := range []*x509.Certificate{before, since} {
				if info, err := os.Stat(w.path("clients", "issued", pki.FormatSerial(cert.SerialNumber))); err != nil || time.Since(info.ModTime()) < 48*time.Hour {
					t.Errorf("in mode restricted what was restored would count as issued today: %v", err)
				}
			}
			if keys, err := filepath.Glob(w.path("clients", "keys") + "/*"); err != nil || len(keys) != 1 || keys[0] != w.path("clients", "keys/ca.key") {
				t.Errorf("besides the key are left: %q, %v", keys, err)
			}
			if left, err := filepath.Glob(w.path("clients") + ".*"); err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
			w.finished("a")
			revoke(since)
			if again, err := w.fleet.CA.CRL("clients"); err != nil || !pki.Lists(again, since.SerialNumber) {
				t.Errorf("revoked after the restore: %v", err)
			}
			issue("after")
			if out, err := w.openssl("ca", "-config", w.path("clients", "openssl.cnf"), "-updatedb", "-passin", "pass:x"); err != nil && c.reference == nil {
				t.Errorf("openssl ca cannot use it: %s", out)
			}
		})
	}
}

// The record of an authority that was found on several hosts names its key: in mode restricted it gets certificates for no other.
func TestRecordOfAuthority(t *testing.T) {
	t.Parallel()
	ca := judgedCA(t)
	id, err := pki.KeyID(ca.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	record, err := recordOf(survey.Deployed{Cert: ca, Profile: pki.ProfileCA})
	if err != nil || !strings.Contains(string(record), "\nkey "+id+"\nprofile ca\n") || strings.Contains(string(record), "\nhost ") {
		t.Errorf("%v\n%s", err, record)
	}
}

// What cannot be restored leaves nothing behind.
func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	to, identity := recipient(t, "cms")
	_, other := recipient(t, "cms")
	b := w.backup(to)
	if err := os.RemoveAll(w.path("clients")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		identity string
		change   func(*backup.Backup)
		says     string
	}{
		"no identity":                  {filepath.Join(t.TempDir(), "none"), nil, "there is no file"},
		"another's identity":           {other, nil, "does not open the key"},
		"a key of another":             {identity, func(b *backup.Backup) { b.Content["certs/ca.crt"] = pki.CertificatePEM(someCertificate(t)) }, "does not belong to its certificate"},
		"its passphrase not asked for": {identity, nil, "--ask-identity-pass asks for"},
		"a passphrase not known of":    {identity, func(b *backup.Backup) { b.Passphrase = true }, "passphrase: prompt"},
	} {
		copy := *b
		copy.Content = maps.Clone(b.Content)
		if c.change != nil {
			c.change(&copy)
		}
		opener := []byte("opener")
		if name == "its passphrase not asked for" {
			opener = nil
		}
		w.connect()
		_, err := w.runTask("a", &Restore{Authority: w.fleet.Authorities["clients"], Backup: &copy, Identity: c.identity, Opener: opener, Seen: &survey.Seen{}})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(w.path("clients") + "*"); len(left) > 0 {
			t.Fatalf("%s: left %q", name, left)
		}
	}
}

// someCertificate is one of another authority with the subject of clients.
func someCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	cert, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Records that were lost are made again of what the fleet has; those that are there stay as they are.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	var certs []*x509.Certificate
	for _, name := range []string{"kept", "lost", "revoked", "imported"} {
		request, _ := csr(t)
		cert, err := w.issue(request, client(name), "e", false)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	seen := &survey.Seen{Number: big.NewInt(40)}
	for _, cert := range certs {
		seen.Certificates = append(seen.Certificates, survey.Deployed{Cert: cert, Profile: pki.ProfileClient, Host: "e"})
	}
	seen.Revoked = []pki.Revoked{{Serial: certs[2].SerialNumber, At: time.Now().Add(-time.Hour), Reason: 1, Expires: certs[2].NotAfter}}
	record := func(cert *x509.Certificate) string {
		return w.path("clients", "issued", pki.FormatSerial(cert.SerialNumber))
	}
	kept, err := os.ReadFile(record(certs[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{record(certs[1]), record(certs[2]), w.path("clients", "index.txt")} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// Of one index.txt alone had told.
	imported := fmt.Sprintf("pgfleet 1\nserial %s\nprofile imported\nexpires 361126000000Z\nsubject /CN=imported\n", pki.FormatSerial(certs[3].SerialNumber))
	if err := os.WriteFile(record(certs[3]), []byte(imported), 0o600); err != nil {
		t.Fatal(err)
	}
	w.connect()
	task := &Restore{Authority: w.fleet.Authorities["clients"], Seen: seen}
	if changed, err := w.runTask("a", task); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if now, err := os.ReadFile(record(certs[0])); err != nil || !bytes.Equal(now, kept) {
		t.Errorf("a record that was there has changed: %v\n%s", err, now)
	}
	if now, err := os.ReadFile(record(certs[3])); err != nil || !strings.Contains(string(now), "\nkey ") || !strings.Contains(string(now), "profile client") {
		t.Errorf("a record of index.txt was not made whole: %v\n%s", err, now)
	}
	list, err := w.fleet.CA.CRL("clients")
	if err != nil || list.Number.Int64() <= 40 || !pki.Lists(list, certs[2].SerialNumber) || pki.Lists(list, certs[1].SerialNumber) {
		t.Errorf("list %v, %v", list, err)
	}
	if issued, _, err := IssuedBy("clients", w.one(context.Background(), IssuedProbe(task.Authority))); err != nil || len(issued) != 6 {
		t.Errorf("%d on record, %v", len(issued), err)
	}
	if changed, err := w.runTask("a", task); changed || err != nil {
		t.Errorf("the second time: changed %v, %v", changed, err)
	}
	w.finished("a")

	// The folders themselves are gone.
	for _, path := range []string{"issued", "revoked", "index.txt"} {
		if err := os.RemoveAll(w.path("clients", path)); err != nil {
			t.Fatal(err)
		}
	}
	if issued, cert, err := IssuedBy("clients", w.one(context.Background(), IssuedProbe(task.Authority))); err != nil || cert == nil || len(issued) != 0 {
		t.Errorf("without its records: %d on record, %v", len(issued), err)
	}
	w.connect()
	if changed, err := w.runTask("a", task); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if issued, _, err := IssuedBy("clients", w.one(context.Background(), IssuedProbe(task.Authority))); err != nil || len(issued) != 4 {
		t.Errorf("%d on record, %v", len(issued), err)
	}
	if list, err := w.fleet.CA.CRL("clients"); err != nil || !pki.Lists(list, certs[2].SerialNumber) {
		t.Errorf("list %v, %v", list, err)
	}
}

// An authority whose records are gone, folder and all, signs nothing and makes no list by what is left: the list would let somebody in again. What mends it is said, and
// does so, also for what only its own list names.
func TestRecordsLost(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string][]string{"folders": {"issued", "revoked", "index.txt"}, "with all that is made from them": {"issued", "revoked", "index.txt", "requests", "holders"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCAWorld(t, walkthrough()[:1]...)
			w.mustRun("a")
			request, _ := csr(t)
			cert, err := w.issue(request, client("gone"), "e", false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.runTask("a", &revokeTask{Reason: "keyCompromise", List: "due", named: []namedCertificate{{"clients", cert.SerialNumber}}}); err != nil {
				t.Fatal(err)
			}
			lost := func(err error) {
				t.Helper()
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "pgfleet authority restore --records clients") {
					t.Errorf("it does not say how it is mended: %v", err)
				}
			}
			for _, path := range gone {
				if err := os.RemoveAll(w.path("clients", path)); err != nil {
					t.Fatal(err)
				}
			}
			w.connect()
			_, err = w.runTask("a", &revokeTask{Reason: "unspecified", List: "new"})
			lost(err)
			_, err = w.issue(request, client("new"), "e", false)
			lost(err)
			if list, err := w.fleet.CA.CRL("clients"); err != nil || !pki.Lists(list, cert.SerialNumber) {
				t.Errorf("the list in force is now %v, %v", list, err)
			}
			task := &Restore{Authority: w.fleet.Authorities["clients"], Seen: &survey.Seen{}}
			if changed, err := w.runTask("a", task); !changed || err != nil {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if list, err := w.fleet.CA.CRL("clients"); err != nil || !pki.Lists(list, cert.SerialNumber) {
				t.Errorf("the list is now %v, %v", list, err)
			}
			if _, err := w.issue(request, client("new"), "e", false); err != nil {
				t.Error(err)
			}
		})
	}
}

// Numbers of lists only rise: above the one that is in force somewhere, though nothing else is missing, and never below the authority's own.
func TestAdoptNumbers(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	adopt := func(seen *survey.Seen) bool {
		t.Helper()
		w.connect()
		changed, err := w.runTask("a", &Restore{Authority: w.fleet.Authorities["clients"], Seen: seen})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if !adopt(&survey.Seen{Number: big.NewInt(40)}) {
		t.Error("list 40 is in force, and nothing changed")
	}
	list, err := w.fleet.CA.CRL("clients")
	if err != nil || list.Number.Int64() <= 40 {
		t.Fatalf("after list 40, which is in force, comes list %v, %v", list.Number, err)
	}
	request, _ := csr(t)
	cert, err := w.issue(request, client("lost"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.path("clients", "issued", pki.FormatSerial(cert.SerialNumber))); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(w.path("clients", "crlnumber"))
	if err != nil {
		t.Fatal(err)
	}
	// Who was seen has an older list, or none.
	for _, number := range []*big.Int{big.NewInt(3), nil} {
		adopt(&survey.Seen{Number: number, Certificates: []survey.Deployed{{Cert: cert, Profile: pki.ProfileClient, Host: "e"}}})
		if after, err := os.ReadFile(w.path("clients", "crlnumber")); err != nil || !bytes.Equal(after, before) {
			t.Errorf("the next number was %s and is %s, %v", before, after, err)
		}
		if err := os.Remove(w.path("clients", "issued", pki.FormatSerial(cert.SerialNumber))); err != nil {
			t.Error(err)
		}
	}
}
