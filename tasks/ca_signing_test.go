package tasks

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport/transporttest"
)

// A state behind something that was signed and verified says that the key signs, in place of the key; nowhere else, and to nobody who does not ask for it.
func TestStateOfASigningCall(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	w.mustRun("a")
	a := w.fleet.Authorities["clients"]
	cert, err := w.fleet.CA.Certificate("clients")
	if err != nil {
		t.Fatal(err)
	}
	request := func() caRequest {
		_, pub := csr(t)
		r, err := certificateRequest(cert, pub, IssueRequest{Template: client("dbuser1"), Host: "e"}, w.now())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	see := func(name string, signs, pair bool, requests ...caRequest) {
		t.Helper()
		r := w.one(context.Background(), caStep(a, w.now(), requests...))
		reply, err := caResult(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer, err := reply.answer("status")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if says := answer.field("keysigns") == "yes"; says != signs || says == (answer.Files["publickey"] != nil) {
			t.Errorf("%s: keysigns %v, publickey %q", name, says, answer.Files["publickey"])
		}
		state, err := ParseAuthority(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := refusePair(a, state); state.PublicKey == nil || (err == nil) != pair {
			t.Errorf("%s: key %v, %v", name, state.PublicKey, err)
		}
	}
	short, known := newCARequest("status", "short", "yes"), request()
	see("signed", true, true, known, short)
	see("not asked for", false, true, request(), newCARequest("status"))
	see("nothing signed", false, true, short)
	see("nothing new signed", false, true, known, short)
	if out, err := w.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", w.path("clients", "keys/ca.key")); err != nil {
		t.Fatal(out)
	}
	see("signed by another key", false, false, request(), short)
}

// A root is signed by its own key: its host refuses what says otherwise.
func TestRootIsSignedByItsKey(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	a := w.fleet.Authorities["clients"]
	made, err := pki.ParsePublicKey(w.reply(caStep(a, time.Time{}, newCARequest("init-key", "name", a.Name, "type", a.KeyTypeOrDefault()))).Answers[0].Files["publickey"])
	if err != nil {
		t.Fatal(err)
	}
	template, err := authorityTemplate(w.fleet.Authorities, a)
	if err != nil {
		t.Fatal(err)
	}
	_, other := csr(t)
	for _, c := range []struct {
		key  any
		want string
	}{{other, "does not accept"}, {made, ""}} {
		tbs, algorithm, err := pki.TBS(template, c.key, nil, nil, big.NewInt(77), w.now())
		if err != nil {
			t.Fatal(err)
		}
		answer := w.reply(caStep(a, w.now(), newCARequest("root", "serial", "4D", "algorithm", algorithm, "tbs", octal(tbs)))).Answers[0]
		if (answer.Refused == "") != (c.want == "") || !strings.Contains(answer.Refused, c.want) {
			t.Errorf("%q, wanted %q", answer.Refused, c.want)
		}
		if _, err := os.Stat(w.path("clients", "certs/ca.crt")); (err == nil) != (c.want == "") {
			t.Errorf("certs/ca.crt: %v", err)
		}
	}
}

// Lists of any length, that is: every way in which lengths are written, and every rest of three bytes, with the tools of every kind of host.
func TestLengthsOfLists(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		shell []string
		lacks string
	}{{[]string{"dash"}, ""}, {[]string{"bash", "--posix"}, ""}, {[]string{"busybox", "ash"}, "all but openssl"}} {
		t.Run(v.shell[0], func(t *testing.T) {
			t.Parallel()
			w := newCAWorld(t, walkthrough()[:1]...)
			w.mustRun("a")
			if _, err := exec.LookPath(v.shell[0]); err != nil {
				transporttest.Unable(t, err.Error())
			}
			w.shell = v.shell
			w.without(v.lacks)
			a := w.fleet.Authorities["clients"]
			state, err := ParseAuthority(w.one(context.Background(), AuthorityProbe(a)))
			if err != nil {
				t.Fatal(err)
			}
			revoked := state.Revoked
			for i, most := range []int{1, 2, 3, 2500} {
				for n := len(revoked); n < most; n++ {
					// Of 1 to 20 bytes, as serial numbers may be.
					serial := new(big.Int).Lsh(big.NewInt(int64(n)+1), uint(n%17)*8)
					r := pki.Revoked{Serial: serial, At: w.now(), Expires: state.Certificate.NotAfter, Reason: 4}
					line := fmt.Sprintf("%s %s superseded %s\n", pki.FormatSerial(serial), writeIndexTime(r.At), writeIndexTime(r.Expires))
					if err := os.WriteFile(w.path("clients", "revoked", pki.FormatSerial(serial)), []byte(line), 0o600); err != nil {
						t.Fatal(err)
					}
					revoked = append(revoked, r)
				}
				number := big.NewInt(int64(10 + i))
				tbs, algorithm, err := pki.CRLTBS(state.Certificate, number, revoked, w.now())
				if err != nil {
					t.Fatal(err)
				}
				answer := w.reply(caStep(a, w.now(), newCARequest("crl", "number", pki.FormatSerial(number), "algorithm", algorithm, "tbs", octal(tbs)))).Answers[0]
				if answer.Refused != "" {
					t.Fatalf("%d entries: %s", most, answer.Refused)
				}
				lists, err := pki.ParseCRLs(answer.Files["crl"])
				if err != nil || len(lists[0].RevokedCertificateEntries) != most || lists[0].CheckSignatureFrom(state.Certificate) != nil {
					t.Fatalf("%d entries: %v", most, err)
				}
				if most == 2500 && len(tbs) < 1<<16 {
					t.Errorf("the long list has only %d bytes", len(tbs))
				}
			}
		})
	}
}

// A key is closed to others from the moment when it is made, also in a folder that was open, and again once somebody has opened it.
func TestKeyIsClosed(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	a := w.fleet.Authorities["clients"]
	if err := os.MkdirAll(w.path("clients"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chmod", "755", w.path("clients")).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	closed := func(what string) {
		t.Helper()
		for file, want := range map[string]os.FileMode{"": 0o700, "keys": 0o700, "keys/ca.key": 0o600} {
			if info, err := os.Stat(w.path("clients", file)); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %q has mode %v, want %v; %v", what, file, info.Mode(), want, err)
			}
		}
	}
	w.mustRun("a")
	closed("made")
	if err := os.Chmod(w.path("clients", "keys/ca.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := w.reply(caStep(a, w.now(), newCARequest("init-key", "name", a.Name, "type", a.KeyTypeOrDefault()))).Answers[0].Refused; got != "" {
		t.Error(got)
	}
	closed("opened by somebody")
}

// A key that a full disk has cut is no key: nothing is said of it, and none is left.
func TestKeyCutShort(t *testing.T) {
	t.Parallel()
	w := newCAWorld(t, walkthrough()[:1]...)
	bin := t.TempDir()
	real, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	full := "#!/bin/sh\ncase \" $* \" in\n*' -keyout '*) " + real + ` "$@"; code=$?; head -c 100 keys/ca.key.new >pending/cut && mv pending/cut keys/ca.key.new; exit $code ;;
*' genpkey '*) ` + real + ` "$@" | head -c 100 ;;
*) exec ` + real + ` "$@" ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "openssl"), []byte(full), 0o700); err != nil {
		t.Fatal(err)
	}
	w.program = strings.Replace(caProgram, "\nPATH=", "\nPATH="+bin+":", 1)
	if _, err := w.run("a"); err == nil || !strings.Contains(err.Error(), "cannot be read back; is the disk full?") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(w.path("clients", "keys/ca.key")); err == nil {
		t.Error("half a key was taken")
	}
}
