package tasks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/desk"
	"github.com/pgfleet/pgfleet/tasks/pki"
)

// elsewhere is one identity whose certificates somebody else signs.
type elsewhere struct {
	t      *testing.T
	at     desk.Desk
	now    time.Time
	key    *ecdsa.PrivateKey
	by     *issuing
	serial int64
	keys   map[string]*ecdsa.PrivateKey
	holder
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{t: t, at: desk.Desk{Dir: t.TempDir()}, now: time.Now(), keys: map[string]*ecdsa.PrivateKey{}, serial: 100}
	e.key = e.made("ca")
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: e.now.Add(-time.Hour), NotAfter: e.now.Add(5 * year), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	tmpl.Subject.CommonName = "ca"
	ca := e.signed(tmpl, tmpl, &e.key.PublicKey)
	e.by = &issuing{name: "company", chain: []*x509.Certificate{ca}, foreign: &pki.Authority{Name: "company", Offline: true, Desk: e.at.Dir}}
	e.holder = holder{Key: "app1 dbuser1", Title: "dbuser1", Anchor: "/h", Below: "b", File: "client", Template: client("dbuser1")}
	return e
}

func (e *elsewhere) made(name string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	e.keys[name] = key
	return key
}

func (e *elsewhere) signed(tmpl, parent *x509.Certificate, pub *ecdsa.PublicKey) *x509.Certificate {
	e.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, e.key)
	if err != nil {
		e.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		e.t.Fatal(err)
	}
	return cert
}

// leaf signs for a key a certificate that is days old of its 365.
func (e *elsewhere) leaf(key string, days int) *x509.Certificate {
	e.serial++
	begin := e.now.Add(-time.Duration(days) * 24 * time.Hour)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(e.serial), Subject: e.Template.Subject, NotBefore: begin, NotAfter: begin.Add(365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	return e.signed(tmpl, e.by.chain[0], &e.keys[key].PublicKey)
}

// version adds a version folder with a key and, if it is not nil, its certificate, which is then in force.
func (e *elsewhere) version(gen, key string, cert *x509.Certificate) {
	spki, err := x509.MarshalPKIXPublicKey(&e.keys[key].PublicKey)
	if err != nil {
		e.t.Fatal(err)
	}
	v := version{Gen: gen, Dir: "/h/b/v/" + gen, Key: &entry{Kind: "file", Public: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))}, Crt: &entry{Kind: "absent"}}
	if cert != nil {
		v.Crt, v.Chain = &entry{Kind: "file", PEM: e.by.served(cert)}, []*x509.Certificate{cert}
	}
	e.Versions = append(e.Versions, v)
	for i := range e.Versions {
		if e.Versions[i].leaf() != nil {
			e.Current = &e.Versions[i]
		}
	}
}

// ask puts the request for a key on the desk; answer hands in what is signed for it.
func (e *elsewhere) ask(key string) *desk.Request {
	e.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: e.Template.Subject}, e.keys[key])
	if err != nil {
		e.t.Fatal(err)
	}
	r, err := e.at.Ask(desk.Request{Host: "app1", Template: e.Template, Made: e.now, CSR: der, Public: e.keys[key].Public()})
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

func (e *elsewhere) answer(key string, cert *x509.Certificate) {
	e.t.Helper()
	e.serial++
	if err := e.at.Put(e.ask(key), cert, e.now.Add(time.Duration(e.serial)*time.Second)); err != nil {
		e.t.Fatal(err)
	}
}

// TestPlanElsewhere: at each point of the way, what is done next with which key.
func TestPlanElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		force   string
		prepare func(*elsewhere)
		// want: ask, waits or issue, then the version folder ("new": another one), and the version whose key is kept; soft: what is in force goes on to serve.
		want string
		soft bool
	}{
		"nothing there":                 {prepare: func(*elsewhere) {}, want: "ask new "},
		"a key, not asked for":          {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", nil) }, want: "ask v1 "},
		"asked for":                     {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", nil); e.ask("1") }, want: "waits v1 "},
		"asked for with other names":    {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", nil); e.ask("1"); e.Template = client("dbuser2") }, want: "ask v1 "},
		"the answer has come":           {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", nil); e.answer("1", e.leaf("1", 0)) }, want: "issue v1 "},
		"an answer that is due already": {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", nil); e.answer("1", e.leaf("1", 300)) }, want: "ask v1 "},
		"in force":                      {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 1)) }, want: "keep v1 "},
		"in force, from the desk":       {prepare: func(e *elsewhere) { e.made("1"); l := e.leaf("1", 1); e.answer("1", l); e.version("v1", "1", l) }, want: "keep v1 "},
		"due":                           {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 300)) }, want: "ask new /h/b/v/v1", soft: true},
		"due, and asked for": {prepare: func(e *elsewhere) {
			e.made("1")
			e.version("v1", "1", e.leaf("1", 300))
			e.version("v2", "1", nil)
			e.ask("1")
		}, want: "waits v2 ", soft: true},
		"due, and the folder was lost": {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 300)); e.ask("1") }, want: "waits new /h/b/v/v1", soft: true},
		"due, and the answer has come": {prepare: func(e *elsewhere) {
			e.made("1")
			e.version("v1", "1", e.leaf("1", 300))
			e.version("v2", "1", nil)
			e.answer("1", e.leaf("1", 0))
		}, want: "issue v2 "},
		"due, and a new key waits": {prepare: func(e *elsewhere) {
			e.made("1")
			e.made("2")
			e.version("v1", "1", e.leaf("1", 300))
			e.version("v2", "2", nil)
			e.ask("2")
		}, want: "waits new /h/b/v/v1", soft: true},
		"due, and the new key's has come": {prepare: func(e *elsewhere) {
			e.made("1")
			e.made("2")
			e.version("v1", "1", e.leaf("1", 300))
			e.version("v2", "2", nil)
			e.answer("2", e.leaf("2", 0))
		}, want: "issue v2 "},
		"in force, and a new key waits": {prepare: func(e *elsewhere) {
			e.made("1")
			e.made("2")
			e.version("v1", "1", e.leaf("1", 1))
			e.version("v2", "2", nil)
			e.ask("2")
		}, want: "waits v1 ", soft: true},
		"in force, and the new key's has come": {prepare: func(e *elsewhere) {
			e.made("1")
			e.made("2")
			e.version("v1", "1", e.leaf("1", 1))
			e.version("v2", "2", nil)
			e.answer("2", e.leaf("2", 0))
		}, want: "issue v2 "},
		"force":            {force: "same key", prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 1)) }, want: "ask new /h/b/v/v1", soft: true},
		"force, a new key": {force: "new key", prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 1)) }, want: "ask new ", soft: true},
		"force, a new key, the old one waits": {force: "new key", prepare: func(e *elsewhere) {
			e.made("1")
			e.version("v1", "1", e.leaf("1", 1))
			e.version("v2", "1", nil)
			e.ask("1")
		}, want: "ask new ", soft: true},
		"shall be revoked": {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 1)); e.unwanted(5) }, want: "ask new /h/b/v/v1", soft: true},
		"compromised":      {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 1)); e.unwanted(1) }, want: "ask new ", soft: true},
		"compromised, and its key's has come": {prepare: func(e *elsewhere) {
			e.made("1")
			e.version("v1", "1", e.leaf("1", 1))
			e.version("v2", "1", nil)
			e.answer("1", e.leaf("1", 0))
			e.unwanted(1)
		}, want: "ask new ", soft: true},
		"ended": {prepare: func(e *elsewhere) { e.made("1"); e.version("v1", "1", e.leaf("1", 366)) }, want: "ask new /h/b/v/v1"},
	} {
		e := newElsewhere(t)
		c.prepare(e)
		task := &certificateTask{Force: c.force != "", NewKey: c.force == "new key"}
		p, err := task.planFor("app1", &e.holder, e.by, e.now)
		if err != nil {
			t.Fatal(name, err)
		}
		next, gen := "keep", p.Gen
		switch {
		case p.Ask:
			next = "ask"
		case p.Waits:
			next = "waits"
		case p.Issue:
			next = "issue"
		}
		if p.version(gen) == nil {
			gen = "new"
		}
		if got := fmt.Sprint(next, " ", gen, " ", p.KeyOf); got != c.want {
			t.Errorf("%s: %s, want %s (%s)", name, got, c.want, p.Why)
		}
		if (next == "ask" || next == "waits") && p.serves(e.now) != c.soft {
			t.Errorf("%s: what is in force serves: %t", name, !c.soft)
		}
		if next == "waits" && !strings.Contains(p.waiting(&Host{Name: "app1", Fleet: &Fleet{Now: e.now}}).Error(), "certificate for client") {
			t.Errorf("%s: %v", name, p.waiting(&Host{Name: "app1", Fleet: &Fleet{Now: e.now}}))
		}
		if len(p.Held) > 0 && p.Why == "" && p.surplus() {
			t.Errorf("%s: a key that waits would be removed", name)
		}
	}
}

// unwanted has the certificate in force revoked for a reason.
func (e *elsewhere) unwanted(reason int) {
	e.by.unwanted = append(e.by.unwanted, pki.Revoked{Serial: e.Current.leaf().SerialNumber, At: e.now, Reason: reason})
}

// TestKeyForSuccessor: a key for which the successor of an authority was asked stays, whatever is done meanwhile with certificates of the old one, be that ours or not.
func TestKeyForSuccessor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(old, next *elsewhere)
		want    string
	}{
		"not asked for":      {func(*elsewhere, *elsewhere) {}, ""},
		"of another host":    {func(_, next *elsewhere) { next.ask("2") }, ""},
		"waits":              {func(_, next *elsewhere) { next.ask("2") }, "v2"},
		"waits, other names": {func(_, next *elsewhere) { next.Template = client("other"); next.ask("2") }, "v2"},
		"the answer is here": {func(_, next *elsewhere) { next.answer("2", next.leaf("2", 0)) }, "v2"},
		"what is in force is due": {func(old, next *elsewhere) {
			old.now = old.now.Add(300 * 24 * time.Hour)
			next.ask("2")
		}, "v1 v2"},
	} {
		for _, ours := range []bool{true, false} {
			old, next := newElsewhere(t), newElsewhere(t)
			old.made("1")
			next.keys["2"] = old.made("2")
			old.version("v1", "1", old.leaf("1", 1))
			old.version("v2", "2", nil)
			c.prepare(old, next)
			old.by.next = []*issuing{next.by}
			if ours {
				old.by.foreign = nil
			}
			host := "app1"
			if name == "of another host" {
				host = "app2"
			}
			p, err := (&certificateTask{}).planFor(host, &old.holder, old.by, old.now)
			if err != nil {
				t.Fatal(name, err)
			}
			if got := strings.TrimSpace(p.kept()); got != c.want || p.Gen == "v1" && p.surplus() != (c.want == "") {
				t.Errorf("%s, ours %t: besides %s there stays %q, want %q; surplus: %t", name, ours, p.Gen, got, c.want, p.surplus())
			}
		}
	}
}

// TestPrune: what is held is not removed with what nobody needs.
func TestPrune(t *testing.T) {
	t.Parallel()
	for _, kept := range []string{"", "v2", " v2", "v1 v2"} {
		dir := t.TempDir()
		for _, v := range []string{"v1", "v2", "v3", "v22"} {
			if err := os.Mkdir(dir+"/"+v, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("sh", "-c", certificatePruneProgram, "sh", dir, "v3", kept).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range left {
			names = append(names, e.Name())
		}
		if want := strings.Join(append(strings.Fields(kept), "v3"), " "); strings.Join(names, " ") != want {
			t.Errorf("kept %q: there stay %q, want %q", kept, names, want)
		}
	}
}
