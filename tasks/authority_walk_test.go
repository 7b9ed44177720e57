package tasks

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"github.com/pgfleet/pgfleet/transport"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// The connection is lost before or after each round trip: the next run finishes, and the one after that changes nothing.
func TestAuthorityCutAtEveryCall(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		for _, after := range []bool{false, true} {
			w := newCAWorld(t, walkthrough()[1:]...)
			start, cut := w.calls, false
			w.cut = func(call int) (bool, bool) {
				hit := call-start == n
				cut = cut || hit
				return hit && !after, hit && after
			}
			_, errB := w.run("b")
			if errB == nil {
				_, errB = w.run("c")
			}
			if cut != (errB != nil) {
				t.Fatalf("call %d: cut %v, but the run says %v", n, cut, errB)
			}
			w.cut = nil
			w.connect()
			w.finished("b", "c")
			if !cut {
				return
			}
		}
	}
}

// finished runs the task until all is there, and sees that nothing is wanted any more.
func (w *caWorld) finished(hosts ...string) {
	w.t.Helper()
	w.mustRun(hosts...)
	for _, host := range hosts {
		if changed, err := w.run(host); changed || err != nil {
			w.t.Fatalf("second run on %s: changed %v, %v", host, changed, err)
		}
	}
	for name, a := range w.fleet.Authorities {
		good, bad, err := w.fleet.CA.Canaries(name)
		if err != nil {
			w.t.Fatal(err)
		}
		chain, err := w.fleet.CA.Chain(name)
		if err != nil {
			w.t.Fatal(err)
		}
		args := []string{"verify", "-crl_check", "-partial_chain", "-CAfile", w.path(name, "certs/ca.crt"), "-CRLfile", w.path(name, "crl/ca.crl")}
		if out, err := w.openssl(append(args, w.write("good.pem", pki.CertificatePEM(good)))...); err != nil {
			w.t.Fatalf("%s: good canary: %s", name, out)
		}
		if out, _ := w.openssl(append(args, w.write("bad.pem", pki.CertificatePEM(bad)))...); !strings.Contains(out, "certificate revoked") {
			w.t.Fatalf("%s: revoked canary: %s", name, out)
		}
		if want := depth(w.fleet.Authorities, a) + 1; len(chain) != want {
			w.t.Fatalf("%s: chain of %d, wanted %d", name, len(chain), want)
		}
	}
}

// ca.sh is killed before each of the commands that it runs.
func TestAuthorityKilledAtEveryCommand(t *testing.T) {
	t.Parallel()
	stride := 11
	if testing.Short() {
		stride = 40
	}
	killed := 0
	for n := 1; ; n += stride {
		w := newCAWorld(t, walkthrough()[:1]...)
		count := w.killAt(n)
		_, err := w.run("a")
		if done := count() < n; done {
			if err != nil {
				t.Fatalf("not killed, but: %v", err)
			}
			break
		}
		if err == nil {
			t.Fatalf("killed at command %d, but the run saw nothing of it", n)
		}
		killed++
		w.program = ""
		w.connect()
		w.finished("a")
	}
	if killed < 4 {
		t.Errorf("killed only %d times", killed)
	}
	t.Logf("killed %d times", killed)
}

// A batch of certificates is killed anywhere: what was answered is on record, asked again the same requests give certificates, index and records agree.
func TestBatchKilledAtEveryCommand(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	ca, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	stride := 5
	if testing.Short() {
		stride = 17
	}
	for n := 1; ; n += stride {
		var pubs []crypto.PublicKey
		for range 3 {
			_, pub := csr(t)
			pubs = append(pubs, pub)
		}
		step := func() transport.Step {
			var requests []caRequest
			for i, pub := range pubs {
				r, err := certificateRequest(ca, pub, IssueRequest{Template: client(fmt.Sprintf("user%d", i)), Host: "e"}, w.now())
				if err != nil {
					t.Fatal(err)
				}
				requests = append(requests, r)
			}
			return caStep(w.fleet.Authorities["clients"], w.now(), requests...)
		}
		count := w.killAt(n)
		first := w.one(context.Background(), step())
		w.program = ""
		answered := map[string]bool{}
		for line := range strings.Lines(string(first.Stdout)) {
			if serial, ok := strings.CutPrefix(strings.TrimSpace(line), "serial "); ok {
				answered[serial] = true
				if _, err := os.Stat(w.path("clients", "issued", serial)); err != nil {
					t.Errorf("killed at command %d: answered, but not on record: %v", n, err)
				}
			}
		}
		again := map[string]bool{}
		for i, a := range w.reply(step()).Answers {
			if cert, _, err := signed(a, pubs[i]); err != nil {
				t.Errorf("killed at command %d: request %d: %v", n, i, err)
			} else {
				again[pki.FormatSerial(cert.SerialNumber)] = true
			}
		}
		for serial := range answered {
			if !again[serial] {
				t.Errorf("killed at command %d: %s was answered, and another one when asked again", n, serial)
			}
		}
		if changed, err := w.run("a"); changed || err != nil {
			t.Fatalf("killed at command %d: changed %v, %v", n, changed, err)
		}
		if count() < n {
			return
		}
	}
}

// killAt replaces ca.sh by one whose n-th command kills it with everything that it started. The function gives how many commands were run.
func (w *caWorld) killAt(n int) func() int {
	w.t.Helper()
	bin := w.t.TempDir()
	log := filepath.Join(w.t.TempDir(), "count")
	for _, name := range []string{"openssl", "mv", "sync", "cat", "sed", "awk", "mkdir", "rm", "chmod", "find", "cp", "flock", "date", "ls", "id", "sort"} {
		real, err := exec.LookPath(name)
		if err != nil {
			w.t.Fatal(err)
		}
		text := fmt.Sprintf("#!/bin/sh\necho >>%s\n[ $(wc -l <%s) -lt %d ] || kill -9 0\nexec %s \"$@\"\n", log, log, n, real)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	w.program = strings.Replace(caProgram, "\nPATH=", "\nPATH="+bin+":", 1)
	if w.program == caProgram {
		w.t.Fatal("ca.sh sets no PATH")
	}
	return func() int {
		data, err := os.ReadFile(log)
		if err != nil {
			w.t.Fatal(err)
		}
		return bytes.Count(data, []byte("\n"))
	}
}

// No result of any step holds the private key, in any spelling.
func TestPrivateKeyStays(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()...)
	w.mustRun("a", "b", "c")
	request, _ := csr(t)
	if _, err := w.issue(request, client("dbuser1"), "e", false); err != nil {
		t.Fatal(err)
	}
	for name := range w.fleet.Authorities {
		file, err := os.ReadFile(w.path(name, "keys/ca.key"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(file)
		if block == nil || block.Type != "PRIVATE KEY" {
			t.Fatalf("%s: the key is not PKCS#8 in PEM", name)
		}
		info, err := os.Stat(w.path(name, "keys/ca.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: key file is %v (%v)", name, info.Mode(), err)
		}
		// The scalar of a P-256 key in PKCS#8 stands at a fixed place: SEC1 inside an OCTET STRING.
		scalar := block.Bytes[36 : 36+32]
		for _, r := range w.results {
			for _, out := range [][]byte{r.Stdout, r.Stderr} {
				joined := bytes.ReplaceAll(bytes.ReplaceAll(out, []byte("\n|"), nil), []byte("\n"), nil)
				for what, secret := range map[string][]byte{"bytes": scalar, "hex": []byte(hex.EncodeToString(scalar)), "octal": []byte(octal(scalar)),
					"base64": []byte(base64.StdEncoding.EncodeToString(block.Bytes))[4:150], "PEM": []byte("PRIVATE KEY")} {
					if bytes.Contains(joined, secret) {
						t.Errorf("%s: the result of %s holds the private key (%s)", name, r.Key, what)
					}
				}
			}
		}
	}
	if len(w.results) < 10 {
		t.Errorf("only %d results were looked at", len(w.results))
	}
}
