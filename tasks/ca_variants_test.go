package tasks

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// Every type of key, every shell that Linux hosts have, and hosts without flock or with a sync that knows no files.
func TestAuthorityVariants(t *testing.T) {
	for _, v := range []struct {
		name, keyType string
		shell         []string
		lacks         string
	}{
		{name: "ecdsa-p384", keyType: "ecdsa-p384"},
		{name: "rsa-2048", keyType: "rsa-2048"},
		{name: "rsa-4096", keyType: "rsa-4096"},
		{name: "ed25519", keyType: "ed25519"},
		{name: "bash", shell: []string{"bash", "--posix"}},
		{name: "busybox", shell: []string{"busybox", "ash"}},
		{name: "dash", shell: []string{"dash"}},
		{name: "without flock", lacks: "flock"},
		{name: "only busybox", shell: []string{"busybox", "ash"}, lacks: "all but openssl"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			w := newCAWorld(t, pki.Authority{Name: "clients", Host: "a", Subject: "CN=root,O=Ex\\, ample", ValidFor: 2 * year, KeyType: v.keyType})
			if v.shell != nil {
				if _, err := exec.LookPath(v.shell[0]); err != nil {
					transporttest.Unable(t, err.Error())
				}
				w.shell = v.shell
			}
			w.without(v.lacks)
			w.finished("a")
			request, _ := csr(t)
			leaf, err := w.issue(request, client("größe|1"), "e", false)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := w.openssl("verify", "-x509_strict", "-crl_check_all", "-CAfile", w.path("clients", "certs/ca.crt"), "-CRLfile", w.path("clients", "crl/ca.crl"),
				w.write("leaf.pem", pki.CertificatePEM(leaf))); err != nil {
				t.Errorf("openssl verify: %s", out)
			}
			_, err = w.fleet.CA.Issue(context.Background(), "clients", IssueRequest{CSR: request, Template: server("db1"), Host: "e"})
			if refused := err != nil && strings.Contains(err.Error(), "Ed25519"); refused != (v.keyType == "ed25519") {
				t.Errorf("server certificate: %v", err)
			}
			// openssl writes the same row for the same certificate.
			if out, err := w.openssl("x509", "-in", w.path("clients", "issued", pki.FormatSerial(leaf.SerialNumber)), "-noout", "-subject", "-nameopt", "compat"); err != nil {
				t.Error(err)
			} else if index, _ := os.ReadFile(w.path("clients", "index.txt")); !strings.Contains(string(index), "\tunknown\t"+strings.TrimPrefix(strings.TrimSpace(out), "subject=")+"\n") {
				t.Errorf("index.txt lacks %q:\n%s", out, index)
			}
		})
	}
}

// without replaces the program's PATH by a folder in which something is missing.
func (w *caWorld) without(what string) {
	w.t.Helper()
	bin := w.t.TempDir()
	switch what {
	case "":
		return
	case "all but openssl":
		if out, err := exec.Command("busybox", "--install", "-s", bin).CombinedOutput(); err != nil {
			w.t.Skipf("busybox: %v: %s", err, out)
		}
		os.Remove(filepath.Join(bin, "openssl"))
		link(w.t, bin, "openssl")
	default:
		for _, name := range []string{"openssl", "mv", "sync", "cat", "sed", "awk", "mkdir", "rm", "chmod", "find", "cp", "date", "ls", "id", "sleep", "od", "sort"} {
			if name != what {
				link(w.t, bin, name)
			}
		}
	}
	at := strings.Index(caProgram, "\nPATH=")
	w.program = caProgram[:at] + "\nPATH=" + bin + caProgram[at+1+strings.Index(caProgram[at+1:], "\n"):]
}

func link(t *testing.T, bin, name string) {
	t.Helper()
	real, err := exec.LookPath(name)
	if err == nil {
		err = os.Symlink(real, filepath.Join(bin, name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Without flock a lock that a dead process left is taken, one of a living process is waited for.
func TestLockWithoutFlock(t *testing.T) {
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	w.without("flock")
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("clients", "lock.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("clients", "lock.d/pid"), []byte(itoa(dead.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.path("clients", "lock.d")); !os.IsNotExist(err) {
		t.Errorf("the lock was left: %v", err)
	}
	live := exec.Command("sleep", "60")
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(w.path("clients", "lock.d"), 0o700)
	os.WriteFile(w.path("clients", "lock.d/pid"), []byte(itoa(live.Process.Pid)+"\n"), 0o600)
	done := make(chan error)
	request, _ = csr(t)
	go func() {
		_, err := w.issue(request, client("dbuser1"), "e", false)
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("signed while another program held the lock (%v)", err)
		live.Process.Kill()
		live.Wait()
		return
	case <-time.After(500 * time.Millisecond):
	}
	live.Process.Kill()
	live.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Clocks: over a minute a warning, over the backdating no signature.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		off           time.Duration
		warns, signed bool
	}{{0, false, true}, {2 * time.Minute, true, true}, {-2 * time.Minute, true, true}, {10 * time.Minute, true, false}, {-10 * time.Minute, true, false}} {
		w := newCAWorld(t, walkthrough()[:1]...)
		w.mustRun("a")
		w.now = func() time.Time { return time.Now().Add(c.off) }
		request, _ := csr(t)
		_, err := w.issue(request, client("dbuser1"), "e", false)
		warnings := w.fleet.CA.(*CA).Warnings()
		if (err == nil) != c.signed || (len(warnings) > 0) != c.warns {
			t.Errorf("clock off by %s: error %v, warnings %q", c.off, err, warnings)
		}
		if err != nil && !strings.Contains(err.Error(), "clock") {
			t.Errorf("clock off by %s: the refusal does not say so: %v", c.off, err)
		}
	}
}

// What status tells of the folders is seen with those above them where nothing was done before it, and the same as what is seen anew; in every shell.
func TestStatusTellsModes(t *testing.T) {
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	dir := w.path(walkthrough()[0].Name)
	if err := os.Symlink("/nowhere -> else", filepath.Join(dir, "keys/ca.pkcs11")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "revoked"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "keys/ca.key")); err != nil {
		t.Fatal(err)
	}
	for _, shell := range [][]string{{"sh"}, {"bash", "--posix"}, {"busybox", "ash"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			continue
		}
		modes := func(requests ...string) (lines []string) {
			cmd := exec.Command(shell[0], append(shell[1:], "-c", caProgram, "sh", dir)...)
			cmd.Stdin = strings.NewReader("pgfleet-ca 1 0\nrequest " + strings.Join(requests, "\nend\nrequest ") + "\nend\n")
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(shell, err)
			}
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "mode ") {
					f := strings.Fields(line)
					lines = append(lines, f[1][:10]+" "+f[2]+" "+f[3])
				}
			}
			return lines
		}
		me := strconv.Itoa(os.Getuid())
		want := strings.Join([]string{"drwx------ " + me + " .", "drwx------ " + me + " certs", "drwx------ " + me + " crl", "drwx------ " + me + " issued",
			"drwx------ " + me + " keys", "lrwxrwxrwx " + me + " keys/ca.pkcs11", "drwxr-xr-x " + me + " revoked"}, "\n")
		if first, later := strings.Join(modes("status"), "\n"), strings.Join(modes("list", "status"), "\n"); first != want || later != want {
			t.Errorf("%v: at once\n%s\nlater\n%s\nwant\n%s", shell, first, later, want)
		}
	}
}
