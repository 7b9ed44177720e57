package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

func sample(t *testing.T) *Backup {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Backup{Manifest: Manifest{Authority: "clients", Host: "ca1", Dir: "/etc/pgfleet/ca/clients", Made: time.Date(2026, 11, 26, 14, 0, 0, 0, time.UTC), Sealed: "age"},
		Content: map[string][]byte{"authority": []byte("pgfleet 1 clients\n"), "certs/ca.crt": pki.CertificatePEM(cert),
			"keys/ca.key.age": []byte("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"), "issued/0A": []byte("pgfleet 1\n"), "crlnumber": []byte("02\n")}}
}

func write(t *testing.T, b *Backup) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("no space left")

// A disk that is full is told once.
func TestWriteNoSpace(t *testing.T) {
	if err := Write(full{}, sample(t)); !errors.Is(err, errFull) || strings.Count(err.Error(), errFull.Error()) != 1 {
		t.Errorf("%v", err)
	}
}

// A backup comes back as it was. Cut anywhere, or with any byte changed, it is refused, unless the change is one that says nothing (the head of gzip).
func TestDamage(t *testing.T) {
	want := sample(t)
	whole := write(t, want)
	same := func(b *Backup) bool {
		return maps.EqualFunc(b.Content, want.Content, bytes.Equal) && b.Authority == want.Authority && b.Host == want.Host && b.Made.Equal(want.Made) && b.Sealed == want.Sealed
	}
	refused := func(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNone) }
	if b, err := Read(bytes.NewReader(whole)); err != nil || !same(b) {
		t.Fatalf("%+v, %v", b, err)
	}
	for n := range whole {
		if _, err := Read(bytes.NewReader(whole[:n])); !refused(err) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 0x10
		if b, err := Read(bytes.NewReader(changed)); !refused(err) && (err != nil || !same(b)) {
			t.Fatalf("byte %d is another: %v", n, err)
		}
	}
}

// What could not be restored is not written, above all no key that is not encrypted; what was changed by hand is refused.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Backup)
		says   string
	}{
		"no key":                {func(b *Backup) { delete(b.Content, "keys/ca.key.age") }, "lacks keys/ca.key.age"},
		"a key in clear":        {func(b *Backup) { b.Content["keys/ca.key.age"] = []byte("-----BEGIN PRIVATE KEY-----\n") }, "not encrypted"},
		"another key file":      {func(b *Backup) { b.Content["keys/ca.key"] = []byte("x") }, "no file of an authority"},
		"sealed by nobody":      {func(b *Backup) { b.Sealed = "rot13" }, "not by age or cms"},
		"a path that leads out": {func(b *Backup) { b.Content["issued/../../x"] = []byte("x") }, "no file of an authority"},
		"no certificate":        {func(b *Backup) { b.Content["certs/ca.crt"] = []byte("x\n") }, "certs/ca.crt"},
		"no list":               {func(b *Backup) { b.Content["crl/ca.crl"] = []byte("x\n") }, "crl/ca.crl"},
	} {
		b := sample(t)
		c.change(b)
		var out bytes.Buffer
		if err := Write(&out, b); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, out.Len())
		}
	}
}

// A file of something else is told from a backup that is damaged, and what is wanted is said.
func TestNoBackup(t *testing.T) {
	packed := func(names ...string) []byte {
		var out bytes.Buffer
		zipped := gzip.NewWriter(&out)
		files := tar.NewWriter(zipped)
		for _, name := range names {
			if err := errors.Join(files.WriteHeader(&tar.Header{Name: name, Mode: 0o600}), files.Flush()); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(files.Close(), zipped.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var text bytes.Buffer
	zipped := gzip.NewWriter(&text)
	if _, err := zipped.Write(bytes.Repeat([]byte("text "), 1000)); err != nil || zipped.Close() != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":      {nil, "not compressed by gzip"},
		"a word":       {[]byte("x\n"), "not compressed by gzip"},
		"a key":        {[]byte("-----BEGIN PRIVATE KEY-----\n"), "not compressed by gzip"},
		"text":         {text.Bytes(), "no tar"},
		"an empty tar": {packed(), "no files"},
		"another tar":  {packed("etc/passwd"), `first file is "etc/passwd"`},
	} {
		if _, err := Read(bytes.NewReader(c.data)); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "pgfleet authority backup") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
