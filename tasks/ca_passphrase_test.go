package tasks

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// locked declares authority clients with a passphrase, which is what is returned points at.
func locked(t *testing.T, reference map[string]any, a pki.Authority) (*caWorld, *string) {
	t.Helper()
	a.Name, a.Host, a.Subject, a.ValidFor, a.Passphrase = "clients", "a", "CN=root-ca1", 10*year, reference
	w := newCAWorld(t, a)
	text := "schl\\üssel $(id) " + rand.Text()
	w.secret(func(context.Context, pki.Authority, bool) ([]byte, error) { return []byte(text), nil })
	return w, &text
}

// secret has passphrases asked for with ask.
func (w *caWorld) secret(ask KeySecret) {
	w.fleet.KeySecret = ask
	w.fleet.CA.(*CA).KeySecrets(ask)
}

// A key with a passphrase, by every type of key and every shell: it is made so, signs, and a second run changes nothing.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, keyType string
		shell         []string
	}{
		{"dash", "", []string{"dash"}},
		{"bash", "rsa-2048", []string{"bash", "--posix"}},
		{"busybox", "ed25519", []string{"busybox", "ash"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(v.shell[0]); err != nil {
				transporttest.Unable(t, err.Error())
			}
			w, text := locked(t, map[string]any{"prompt": true}, pki.Authority{KeyType: v.keyType})
			w.shell = v.shell
			w.finished("a")
			key := w.path("clients", "keys/ca.key")
			if out, err := w.openssl("asn1parse", "-in", key); err != nil || !strings.Contains(out, ":scrypt") || !strings.Contains(out, ":aes-256-cbc") {
				t.Errorf("the key is not AES-256 with scrypt: %v\n%s", err, out)
			}
			open := exec.Command("openssl", "pkey", "-in", key, "-passin", "stdin", "-noout")
			open.Stdin = strings.NewReader(*text + "\n")
			if out, err := open.CombinedOutput(); err != nil {
				t.Errorf("openssl does not open it with the passphrase: %s", out)
			}
			request, _ := csr(t)
			leaf, err := w.issue(request, client("dbuser1"), "e", false)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := w.openssl("verify", "-x509_strict", "-crl_check_all", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"),
				w.write("leaf.pem", pki.CertificatePEM(leaf))); err != nil {
				t.Errorf("openssl verify: %s", out)
			}
		})
	}
}

// Looking, and a run that changes nothing, ask for no passphrase.
func TestPassphraseOnlyToSign(t *testing.T) {
	t.Parallel()
	w, _ := locked(t, map[string]any{"prompt": true}, pki.Authority{})
	w.mustRun("a")
	w.secret(func(context.Context, pki.Authority, bool) ([]byte, error) { return nil, errors.New("asked") })
	w.connect()
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	if _, _, err := IssuedBy("clients", w.one(context.Background(), IssuedProbe(w.fleet.Authorities["clients"]))); err != nil {
		t.Error(err)
	}
	w.secret(w.fleet.KeySecret)
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err == nil || !strings.Contains(err.Error(), "asked") || !strings.Contains(err.Error(), "clients") {
		t.Errorf("signed without a passphrase: %v", err)
	}
}

// tree is every file of a folder with its bytes; but for pending/ and lock, which are emptied and made by the next call.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" || strings.Contains(path, "/pending/") {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What does not open the key changes nothing, and says whose it is: signing, revoking, renewing; and a key that is otherwise than the inventory says.
func TestWrongPassphrase(t *testing.T) {
	t.Parallel()
	w, text := locked(t, map[string]any{"prompt": true}, pki.Authority{})
	w.mustRun("a")
	request, _ := csr(t)
	leaf, err := w.issue(request, client("dbuser1"), "e", false)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, w.path("clients"))
	right := *text
	for name, wrong := range map[string]string{"another": "another one", "short": "abc", "two lines": "one\ntwo", "long": strings.Repeat("x", 1001)} {
		*text = wrong
		request, _ := csr(t)
		_, signing := w.issue(request, client("dbuser2"), "e", false)
		_, revoking := w.runTask("a", &revokeTask{Certificates: []string{"clients:" + pki.FormatSerial(leaf.SerialNumber)}, Reason: "unspecified", List: "due",
			named: []namedCertificate{{"clients", leaf.SerialNumber}}})
		for what, err := range map[string]error{"sign": signing, "revoke": revoking} {
			if err == nil || !strings.Contains(err.Error(), "passphrase") || !strings.Contains(err.Error(), "clients") || strings.Contains(err.Error(), wrong) {
				t.Errorf("%s with a passphrase that is %s: %v", what, name, err)
			}
		}
		if now := tree(t, w.path("clients")); now != before {
			t.Errorf("a passphrase that is %s changed\n%s\nto\n%s", name, before, now)
		}
	}
	*text = right

	a := w.fleet.Authorities["clients"]
	a.Passphrase = nil
	w.fleet.Authorities["clients"] = a
	w.connect()
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "passphrase: prompt") {
		t.Errorf("a key with a passphrase that the inventory does not know of: %v", err)
	}
	request, _ = csr(t)
	if _, err := w.issue(request, client("dbuser2"), "e", false); err == nil || !strings.Contains(err.Error(), "passphrase: prompt") {
		t.Errorf("signed without its passphrase: %v", err)
	}
	if now := tree(t, w.path("clients")); now != before {
		t.Error("something was changed")
	}
}

// The command that the refusal names gives a key its passphrase; it goes on signing as the same authority.
func TestPassphraseLater(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	text := "given later"
	w.secret(func(context.Context, pki.Authority, bool) ([]byte, error) { return []byte(text), nil })
	a := w.fleet.Authorities["clients"]
	a.Passphrase = map[string]any{"prompt": true}
	w.fleet.Authorities["clients"] = a
	_, err := w.run("a")
	if err == nil || !strings.Contains(err.Error(), "openssl pkcs8") {
		t.Fatalf("a key without a passphrase where one is declared: %v", err)
	}
	command := strings.Split(err.Error(), "`")[1]
	command = strings.Replace(command, "pkcs8 -topk8", "pkcs8 -topk8 -passout fd:3", 1) // no terminal here
	shell := exec.Command("sh", "-c", "{ "+command+"; } 3<<END\n"+text+"\nEND")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	w.connect()
	w.secret(w.fleet.KeySecret)
	if changed, err := w.run("a"); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
		t.Error(err)
	}
}

// A file on the authority's own host has to be closed to others, and nobody else's.
func TestPassphraseInAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passphrase")
	w, _ := locked(t, map[string]any{"host_file": file}, pki.Authority{})
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("without the file: %v", err)
	}
	for mode, want := range map[os.FileMode]string{0o644: "closed to others", 0o640: "closed to others", 0o604: "closed to others", 0o600: ""} {
		if err := os.WriteFile(file, []byte("from a file\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			continue
		}
		if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("another's", func(t *testing.T) {
		if os.Getuid() != 0 {
			transporttest.Unable(t, "needs root")
		}
		if err := os.Chown(file, 4711, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "belongs to user 4711") {
			t.Errorf("another user's file: %v", err)
		}
		if err := os.Chown(file, 0, 0); err != nil {
			t.Fatal(err)
		}
	})
	w.finished("a")
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
		t.Error(err)
	}
}

// Whenever openssl runs, no process of the machine has the passphrase or the opened key in its arguments or environment; and no file is left with them.
func TestPassphraseIsNowhere(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash", "bash"} {
		w, text := locked(t, map[string]any{"prompt": true}, pki.Authority{})
		w.shell = []string{shell}
		bin, seen := t.TempDir(), filepath.Join(t.TempDir(), "seen")
		real, err := exec.LookPath("openssl")
		if err != nil {
			t.Fatal(err)
		}
		spy := "#!/bin/sh\ncat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>" + seen + " 2>/dev/null </dev/null\nexec " + real + ` "$@"` + "\n"
		if err := os.WriteFile(filepath.Join(bin, "openssl"), []byte(spy), 0o755); err != nil {
			t.Fatal(err)
		}
		w.program = strings.Replace(caProgram, "\nPATH=", "\nPATH="+bin+":", 1)
		w.mustRun("a")
		request, _ := csr(t)
		leaf, err := w.issue(request, client("dbuser1"), "e", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.runTask("a", &revokeTask{Reason: "unspecified", List: "due", named: []namedCertificate{{"clients", leaf.SerialNumber}}}); err != nil {
			t.Fatal(err)
		}
		open := exec.Command("openssl", "pkey", "-in", w.path("clients", "keys/ca.key"), "-passin", "stdin")
		open.Stdin = strings.NewReader(*text + "\n")
		clear, err := open.Output()
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{"passphrase": []byte(*text), "key": bytes.Split(clear, []byte("\n"))[2]}
		all, err := os.ReadFile(seen)
		if err != nil || bytes.Count(all, []byte("-sign")) < 3 {
			t.Fatalf("openssl was not watched while it signed (%v)", err)
		}
		all = append(all, tree(t, w.path("clients"))...)
		for _, r := range w.results {
			all = append(append(all, r.Stdout...), r.Stderr...)
		}
		for what, secret := range secrets {
			if len(secret) < 8 || bytes.Contains(all, secret) {
				t.Errorf("%s: the %s can be seen", shell, what)
			}
		}
	}
}
