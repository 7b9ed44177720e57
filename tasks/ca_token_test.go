package tasks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

const softhsm = "/usr/lib/softhsm/libsofthsm2.so"

// inToken declares authority clients with a key in a token of SoftHSM, whose PIN is what is returned points at. run runs a program with that token.
func inToken(t *testing.T, kind string) (w *caWorld, pin *string, run func(words ...string)) {
	t.Helper()
	for _, program := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(program); err != nil {
			transporttest.Unable(t, err.Error())
		}
	}
	keyType, ok := map[string]string{"EC:prime256v1": "ecdsa-p256", "rsa:2048": "rsa-2048"}[kind]
	if !ok {
		t.Fatalf("kind %s", kind)
	}
	w, pin = locked(t, map[string]any{"prompt": true}, pki.Authority{KeyType: keyType, Key: "pkcs11:token=ca;object=clients?module-path=" + softhsm})
	*pin = "4711"
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"SOFTHSM2_CONF=" + conf}
	run = func(words ...string) {
		t.Helper()
		c := exec.Command(words[0], words[1:]...)
		c.Env = append(os.Environ(), w.env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", words, err, out)
		}
	}
	run("softhsm2-util", "--init-token", "--free", "--label", "ca", "--pin", *pin, "--so-pin", "12345678")
	return w, pin, run
}

// tokenKey makes a key in the token, as the manual has it.
func tokenKey(run func(...string), pin, kind, label string) {
	id := fmt.Sprintf("%x", label)
	run("pkcs11-tool", "--module", softhsm, "--token-label", "ca", "--login", "--pin", pin, "--keypairgen", "--key-type", kind, "--label", label, "--id", id)
}

// An authority whose key is in a token: refused while there is none, then everything works with it, and nothing of the key is on disk. It is backed up and restored without it.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"EC:prime256v1", "rsa:2048"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, pin, run := inToken(t, kind)
			if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "there is no key pkcs11:token=ca;object=clients") {
				t.Fatalf("without a key: %v", err)
			}
			tokenKey(run, *pin, kind, "clients")
			w.finished("a")
			request, _ := csr(t)
			leaf, err := w.issue(request, client("dbuser1"), "e", false)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := w.openssl("verify", "-x509_strict", "-crl_check_all", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"),
				w.write("leaf.pem", pki.CertificatePEM(leaf))); err != nil {
				t.Errorf("openssl verify: %s", out)
			}
			if keys, err := os.ReadDir(w.path("clients", "keys")); err != nil || len(keys) != 1 || keys[0].Name() != "ca.pkcs11" {
				t.Errorf("keys/ holds %v, %v", keys, err)
			}

			b := w.backup(nil)
			if b.Sealed != "token" {
				t.Errorf("sealed by %s", b.Sealed)
			}
			if err := os.RemoveAll(w.path("clients")); err != nil {
				t.Fatal(err)
			}
			w.connect()
			w.secret(w.fleet.KeySecret)
			seen := &survey.Seen{}
			right := *pin
			*pin = "0815"
			restore := &Restore{Authority: w.fleet.Authorities["clients"], Backup: b, Seen: seen}
			if _, err := w.runTask("a", restore); err == nil || !strings.Contains(err.Error(), "PIN") {
				t.Errorf("restored with a wrong PIN: %v", err)
			}
			if left, _ := filepath.Glob(w.path("clients") + "*"); len(left) > 0 {
				t.Errorf("left %q", left)
			}
			*pin = right
			if changed, err := w.runTask("a", restore); !changed || err != nil {
				t.Fatalf("changed %v, %v", changed, err)
			}
			w.finished("a")
		})
	}
}

// Where the token cannot tell its keys apart, nothing is signed with a key that is not the one whose public half it gives.
func TestTokenWithoutIDs(t *testing.T) {
	t.Parallel()
	w, pin, run := inToken(t, "EC:prime256v1")
	for _, label := range []string{"others", "clients"} {
		run("pkcs11-tool", "--module", softhsm, "--token-label", "ca", "--login", "--pin", *pin, "--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", "01")
	}
	// Which of the two the token gives is not known.
	if _, err := w.run("a"); err != nil && !strings.Contains(err.Error(), "an id of its own") {
		t.Errorf("two keys with one id: %v", err)
	}
}

// A wrong PIN is tried once, changes nothing, and is told; so is a key that is another than it was.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	w, pin, run := inToken(t, "EC:prime256v1")
	tokenKey(run, *pin, "EC:prime256v1", "clients")
	tokenKey(run, *pin, "EC:prime256v1", "others")
	tokenKey(run, *pin, "EC:secp384r1", "larger")
	w.mustRun("a")
	before := tree(t, w.path("clients"))
	log := filepath.Join(t.TempDir(), "calls")
	bin := t.TempDir()
	spy := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nexec /usr/bin/openssl \"$@\"\n", log)
	if err := os.WriteFile(filepath.Join(bin, "openssl"), []byte(spy), 0o755); err != nil {
		t.Fatal(err)
	}
	w.program = strings.Replace(caProgram, "\nPATH=", "\nPATH="+bin+":", 1)
	right := *pin
	*pin = "9999"
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err == nil || !strings.Contains(err.Error(), "PIN") || !strings.Contains(err.Error(), "clients") {
		t.Errorf("a wrong PIN: %v", err)
	}
	if calls, err := os.ReadFile(log); err != nil || strings.Count(string(calls), "-engine pkcs11") != 1 || strings.Contains(string(calls), "9999") {
		t.Errorf("openssl was called so, %v:\n%s", err, calls)
	}
	*pin = right
	declare := func(change func(*pki.Authority)) {
		a := w.fleet.Authorities["clients"]
		change(&a)
		w.fleet.Authorities["clients"] = a
		w.connect()
		w.secret(w.fleet.KeySecret)
	}
	uri := w.fleet.Authorities["clients"].Key
	for other, says := range map[string]string{strings.Replace(uri, "clients", "others", 1): "an authority keeps its key", "": "an authority keeps its key"} {
		declare(func(a *pki.Authority) { a.Key = other })
		if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("declared with key %q: %v", other, err)
		}
	}
	declare(func(a *pki.Authority) { a.Key = uri })
	if now := tree(t, w.path("clients")); now != before {
		t.Error("something was changed")
	}

	// The token's key has to be the one that the certificate is for, and of the type that is declared.
	if err := os.Remove(w.path("clients", "keys/ca.pkcs11")); err != nil {
		t.Fatal(err)
	}
	declare(func(a *pki.Authority) { a.Key = strings.Replace(uri, "clients", "others", 1) })
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "does not belong to") {
		t.Errorf("another's key: %v", err)
	}
	declare(func(a *pki.Authority) { a.Key = uri })
	w.finished("a")
	if err := os.RemoveAll(w.path("clients")); err != nil {
		t.Fatal(err)
	}
	declare(func(a *pki.Authority) { a.Key = strings.Replace(uri, "clients", "larger", 1) })
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "its key is ecdsa-p384, declared is ecdsa-p256") {
		t.Errorf("a key of another type: %v", err)
	}
}

// A key that was in a file goes on in a token, as the manual has it.
func TestTokenMove(t *testing.T) {
	t.Parallel()
	w, pin, run := inToken(t, "EC:prime256v1")
	declare := func(key string, passphrase map[string]any) {
		a := w.fleet.Authorities["clients"]
		a.Key, a.Passphrase = key, passphrase
		w.fleet.Authorities["clients"] = a
		w.connect()
		w.secret(w.fleet.KeySecret)
	}
	uri := w.fleet.Authorities["clients"].Key
	declare("", nil)
	w.mustRun("a")
	before, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	declare(uri, map[string]any{"prompt": true})
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "its key is in a file") {
		t.Errorf("still in a file: %v", err)
	}
	run("softhsm2-util", "--import", w.path("clients", "keys/ca.key"), "--token", "ca", "--label", "clients", "--id", "01", "--pin", *pin)
	if err := os.Remove(w.path("clients", "keys/ca.key")); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.secret(w.fleet.KeySecret)
	w.finished("a")
	if after, err := w.fleet.CA.Certificate("clients"); err != nil || !after.Equal(before) {
		t.Errorf("its certificate is another: %v", err)
	}
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
		t.Error(err)
	}
}

// In mode restricted an authority below a root whose key is in a token is renewed as any other.
func TestTokenRestricted(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"softhsm2-util", "pkcs11-tool"} {
		if _, err := exec.LookPath(program); err != nil {
			transporttest.Unable(t, err.Error())
		}
	}
	l := newLockedHost(t, "dash", func(l *lockedHost) {
		a := l.host.Fleet.Authorities["servers"]
		a.Key, a.Passphrase = "pkcs11:token=ca;object=servers?module-path="+softhsm, map[string]any{"prompt": true}
		l.host.Fleet.KeySecret = func(context.Context, pki.Authority, bool) ([]byte, error) { return []byte("correct horse"), nil }
		l.host.Fleet.CA.(*CA).KeySecrets(l.host.Fleet.KeySecret)
		l.host.Fleet.Authorities["servers"] = a
		l.sb.WriteFile("/etc/softhsm/softhsm2.conf", "directories.tokendir = /etc/pgfleet/tokens\nobjectstore.backend = file\n", 0o600)
		l.sb.Shell("mkdir -p -m 0700 /etc/pgfleet/tokens && softhsm2-util --init-token --free --label ca --pin 'correct horse' --so-pin 12345678 && pkcs11-tool --module " + softhsm +
			" --token-label ca --login --pin 'correct horse' --keypairgen --key-type EC:prime256v1 --label servers --id 01")
	})
	l.renews(t)
	// Nobody has another library loaded, or another key.
	for _, uri := range []string{"pkcs11:token=ca;object=servers?module-path=/tmp/mine.so", "pkcs11:token=ca;object=others?module-path=" + softhsm} {
		if a := l.ask("servers", newCARequest("init-key", "name", "servers", "token", octal([]byte(uri)))); !strings.Contains(a[0].Refused, "an authority keeps its key") {
			t.Errorf("%s: %+v", uri, a)
		}
	}
}
