package cmd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/backup"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/tasks/survey"
)

// madeCA is an authority's certificate and key.
func madeCA(t *testing.T) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root-ca1"}, NotBefore: now, NotAfter: now.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3}}
	return made(t, tmpl, tmpl, key), key
}

// made has an authority sign a certificate; who holds its key does not matter.
func made(t *testing.T, tmpl, ca *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// madeList is a list of an authority with a number.
func madeList(t *testing.T, ca *x509.Certificate, key crypto.Signer, number int64, revoked ...int64) *x509.RevocationList {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.AddDate(1, 0, 0)}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestBackupsNewest: what is said of the newest backup of an authority. Out of date is one that lacks what was issued, revoked or listed since; of no use is another authority's.
func TestBackupsNewest(t *testing.T) {
	cert, key := madeCA(t)
	other, _ := madeCA(t)
	list, newer := madeList(t, cert, key, 3), madeList(t, cert, key, 4)
	kept := func(change func(*backup.Backup)) *backup.Backup {
		b := &backup.Backup{Manifest: backup.Manifest{Authority: "clients", Host: "ca1", Dir: "/etc/pgfleet/ca/clients", Made: now, Sealed: "age"},
			Content: map[string][]byte{"authority": []byte("pgfleet 1 clients\n"), "certs/ca.crt": pki.CertificatePEM(cert), "crl/ca.crl": pki.CRLPEM(list),
				"keys/ca.key.age": []byte("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"), "crlnumber": []byte("04\n"),
				"issued/0A": []byte("pgfleet 1\n"), "issued/0B": []byte("pgfleet 1\n"), "revoked/0B": []byte("0B 261122080000Z superseded 271122080000Z\n")}}
		change(b)
		return b
	}
	is := func(change func(*survey.Authority)) *survey.Authority {
		a := &survey.Authority{Name: "clients", Host: "ca1", Seen: true, Cert: cert, List: list, Records: []survey.Record{{Serial: "0A"}, {Serial: "0B"}}, Revoked: []pki.Revoked{{Serial: big.NewInt(11)}}}
		change(a)
		return a
	}
	for name, c := range map[string]struct {
		backup    func(*backup.Backup)
		authority func(*survey.Authority)
		want      string
	}{
		"as it is":     {want: ""},
		"issued since": {authority: func(a *survey.Authority) { a.Records = append(a.Records, survey.Record{Serial: "0C"}) }, want: "behind: 1 issued since"},
		"revoked since": {authority: func(a *survey.Authority) {
			a.Revoked, a.List = append(a.Revoked, pki.Revoked{Serial: big.NewInt(10)}), newer
		}, want: "behind: 1 revoked since"},
		"listed since":      {authority: func(a *survey.Authority) { a.List = newer }, want: "behind: list 4 was made since"},
		"old":               {backup: func(b *backup.Backup) { b.Made = now.AddDate(0, 0, -31) }, want: "behind: it is older than 30d"},
		"of another":        {backup: func(b *backup.Backup) { b.Authority = "servers" }, want: "broken: it is of authority servers"},
		"another key":       {authority: func(a *survey.Authority) { a.Cert = other }, want: "broken: its certificate has another key than the authority has now"},
		"it was not looked": {authority: func(a *survey.Authority) { *a = survey.Authority{Name: "clients"} }, want: ""},
	} {
		dir := t.TempDir()
		if c.backup == nil {
			c.backup = func(*backup.Backup) {}
		}
		if c.authority == nil {
			c.authority = func(*survey.Authority) {}
		}
		var file bytes.Buffer
		if err := backup.Write(&file, kept(c.backup)); err != nil {
			t.Fatal(err)
		}
		// Older ones, and another authority's whose name begins alike, have no say.
		for name, content := range map[string][]byte{"clients-20261120T080000Z.tar.gz": {1}, "clients-20261122T080000Z.tar.gz": file.Bytes(), "clients_g2-20261125T080000Z.tar.gz": {2}, "x.tar.gz": {3}} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, o := "", &checkOptions{in: dir, maxAge: "30d", age: 30 * 24 * time.Hour}
		switch found := o.copyOf(is(c.authority), now); {
		case found.Broken != "":
			got = "broken: " + found.Broken
		case len(found.Behind) > 0:
			got = "behind: " + strings.Join(found.Behind, ", ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSound: an authority that was brought back from an older copy lacks what the fleet has of it, and its list is below the one in force.
func TestSound(t *testing.T) {
	cert, key := madeCA(t)
	list := madeList(t, cert, key, 3)
	leaf := made(t, &x509.Certificate{SerialNumber: big.NewInt(12), Subject: pkix.Name{CommonName: "dbuser1"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, cert, key)
	fleet := func(lists ...*x509.RevocationList) *survey.Fleet {
		return &survey.Fleet{Now: now, Authorities: []survey.Authority{{Name: "clients", Host: "ca1", Seen: true, Cert: cert, List: list, Records: []survey.Record{{Serial: "0C"}}}},
			Servers: []survey.Server{{Host: "db1", Lists: survey.File{Lists: lists}}}, Clients: []survey.Client{{Host: "app1", Pair: survey.Pair{Cert: survey.File{Certs: []*x509.Certificate{leaf}}}}}}
	}
	for name, c := range map[string]struct {
		fleet *survey.Fleet
		want  []string
	}{
		"as it is":              {fleet(list), nil},
		"a higher number":       {fleet(madeList(t, cert, key, 7)), []string{"a list with number 7 is in force, which is above its own"}},
		"revoked by that list":  {fleet(madeList(t, cert, key, 3, 12)), []string{"certificate 0C is revoked by a list in force and not on record as revoked"}},
		"in use, not on record": {func() *survey.Fleet { f := fleet(list); f.Authorities[0].Records = nil; return f }(), []string{"certificate 0C (dbuser1) is in use and not on record"}},
		"a finding of its own":  {fleet(list), []string{"openssl cannot read it"}},
	} {
		var rows []survey.Row
		if name == "a finding of its own" {
			rows = []survey.Row{{Host: "ca1", Holder: "clients", Findings: []survey.Finding{{State: survey.Unreadable, Reason: "openssl cannot read it"}, {State: survey.RenewSoon, Reason: "soon"}}},
				{Host: "ca1", Holder: "servers", Findings: []survey.Finding{{State: survey.Unreadable, Reason: "another's"}}}}
		} else if c.want != nil {
			c.want = append(c.want, "mend it: pgfleet authority restore --records clients")
		}
		if got := sound(c.fleet, &c.fleet.Authorities[0], rows).Problems; !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
