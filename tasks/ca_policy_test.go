package tasks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// judgedCA is an authority for what is only judged, not signed.
func judgedCA(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tbs, algorithm, err := pki.TBS(pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: "root"}, ValidFor: 10 * year, MaxPathLen: 1}, key.Public(), nil, nil, big.NewInt(1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Unsigned(tbs, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// byPolicy is what ca_policy.awk says of something that is to be signed: kind is certificate or list.
func byPolicy(t testing.TB, ca *x509.Certificate, kind, serial string, tbs []byte) string {
	t.Helper()
	return byPolicyOf(t, []string{"awk"}, ca, kind, serial, tbs)
}

// byPolicyOf is byPolicy by another awk.
func byPolicyOf(t testing.TB, awk []string, ca *x509.Certificate, kind, serial string, tbs []byte) string {
	t.Helper()
	cmd := exec.Command(awk[0], append(slices.Clone(awk[1:]), caPolicy)...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(fmt.Sprintf("now %d\noid %s\nprofile client\nprofile server\nlife 398\nlist_least 90\nauthority 0 1825 CN=below\nserial %s\nnumber %s\nca %s\n%s %s\n", time.Now().Unix(),
		octal([]byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}), serial, serial, octal(ca.Raw), kind, octal(tbs)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("awk: %v: %s", err, out)
	}
	return string(out)
}

// seeds are good certificates of every kind.
func seeds(t testing.TB, ca *x509.Certificate) [][]byte {
	t.Helper()
	var out [][]byte
	for _, template := range []pki.Template{client("app_1"), server("db1.example.net"),
		{Profile: pki.ProfileServer, DNSNames: []string{"db1.example.net", "*.example.net"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1).To4(), net.ParseIP("fd00::1")}, ValidFor: year},
		{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: "below"}, ValidFor: year}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tbs, _, err := pki.TBS(template, key.Public(), ca, ca.PublicKey, big.NewInt(0x1234), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tbs)
	}
	return out
}

// Every address in a certificate is written as others write it.
func TestPolicyAddresses(t *testing.T) {
	t.Parallel()
	ca := judgedCA(t)
	for _, text := range []string{"10.88.0.1", "255.255.255.255", "0.0.0.0", "::", "::1", "1::", "fd00::1", "2001:db8::1:0:0:1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "1:2:3:4:5:6:7:8", "1:0:3:0:5:0:7:0", "fe80::a:b:c:d"} {
		ip := net.ParseIP(text)
		if four := ip.To4(); four != nil {
			ip = four
		}
		template := pki.Template{Profile: pki.ProfileServer, IPAddresses: []net.IP{ip}, ValidFor: year}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		tbs, _, err := pki.TBS(template, key.Public(), ca, ca.PublicKey, big.NewInt(0x1234), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(byPolicy(t, ca, "certificate", "1234", tbs), "\n")
		if len(lines) != 6 || lines[0] != "server" || lines[3] != text || lines[4] != text {
			t.Errorf("%s: %q", text, lines)
		}
	}
}

// Nothing outlives the authority, also where the policy alone would let it: neither certificates nor lists. A list need not last longer than it.
func TestPolicyOfADyingAuthority(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	living := func(life time.Duration) *x509.Certificate {
		tbs, algorithm, err := pki.TBS(pki.Template{Profile: pki.ProfileCA, Subject: pkix.Name{CommonName: "root"}, ValidFor: life, MaxPathLen: 1}, key.Public(), nil, nil, big.NewInt(1), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ca, err := pki.Unsigned(tbs, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
	const day = 24 * time.Hour
	long, short := living(10*year), living(30*day)
	for _, c := range []struct {
		by   *x509.Certificate
		life time.Duration
		want string
	}{{short, 29 * day, "client"}, {long, 31 * day, "no the certificate would live longer than this authority"}} {
		template := client("app_1")
		template.ValidFor = c.life
		holder, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tbs, _, err := pki.TBS(template, holder.Public(), c.by, c.by.PublicKey, big.NewInt(0x1234), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if said, _, _ := strings.Cut(byPolicy(t, short, "certificate", "1234", tbs), "\n"); said != c.want {
			t.Errorf("a certificate for %s: %q, want %q", c.life, said, c.want)
		}
	}
	for by, want := range map[*x509.Certificate]string{short: "list", long: "no the list would end later than this authority"} {
		tbs, _, err := pki.CRLTBS(by, big.NewInt(0x1234), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if said, _, _ := strings.Cut(byPolicy(t, short, "list", "1234", tbs), "\n"); said != want {
			t.Errorf("a list: %q, want %q", said, want)
		}
	}
}

// What is accepted is a certificate as the standard library reads it too, and says what the judgement says.
func FuzzPolicy(f *testing.F) {
	if _, err := exec.LookPath("awk"); err != nil {
		f.Skip(err)
	}
	ca := judgedCA(f)
	good := seeds(f, ca)
	for i := range good {
		f.Add(uint8(i), uint16(0), byte(0), uint16(0), []byte{}, uint8(0))
		for at := range len(good[i]) {
			if at%40 == i { // a few of the places
				f.Add(uint8(i), uint16(at), byte(1), uint16(at), []byte{}, uint8(0))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, flip byte, cut uint16, put []byte, drop uint8) {
		tbs := bytes.Clone(good[int(which)%len(good)])
		tbs[int(at)%len(tbs)] ^= flip
		if len(put) > 0 || drop > 0 {
			from := int(cut) % len(tbs)
			tbs = slices.Replace(tbs, from, min(len(tbs), from+int(drop)), put...)
		}
		said := strings.Split(strings.TrimSuffix(byPolicy(t, ca, "certificate", "1234", tbs), "\n"), "\n")
		if strings.HasPrefix(said[0], "no ") {
			return
		}
		cert, err := pki.Unsigned(tbs, "ecdsa-with-SHA256")
		if err != nil && strings.Contains(err.Error(), "not on curve") {
			return // nobody has a key to it
		}
		if err != nil {
			t.Fatalf("accepted as %q, but: %v", said, err)
		}
		var names []string
		if cert.Subject.CommonName != "" {
			names = append(names, cert.Subject.CommonName)
		}
		names = append(names, cert.DNSNames...)
		for _, ip := range cert.IPAddresses {
			names = append(names, ip.String())
		}
		told := slices.Clone(said[3:])
		slices.Sort(names)
		slices.Sort(told)
		leaf := func(use x509.ExtKeyUsage) bool {
			return !cert.IsCA && cert.BasicConstraintsValid && len(cert.ExtKeyUsage) == 1 && cert.ExtKeyUsage[0] == use && cert.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment) == 0 &&
				slices.Equal(names, told) && !cert.NotAfter.After(time.Now().Add(399*24*time.Hour))
		}
		ok := false
		switch said[0] {
		case "client":
			ok = leaf(x509.ExtKeyUsageClientAuth) && len(names) == 1
		case "server":
			ok = leaf(x509.ExtKeyUsageServerAuth)
		case "authority":
			ok = cert.IsCA && cert.MaxPathLen == 0 && cert.MaxPathLenZero && cert.Subject.String() == "CN=below" && len(cert.ExtKeyUsage) == 0
		}
		if !ok || !bytes.Equal(cert.RawIssuer, ca.RawSubject) || cert.SerialNumber.Int64() != 0x1234 || pki.OnelineSubject(cert.Subject) != said[1] || said[2] != octal(cert.RawSubjectPublicKeyInfo) ||
			len(cert.UnknownExtKeyUsage)+len(cert.UnhandledCriticalExtensions)+len(cert.EmailAddresses)+len(cert.URIs) > 0 || cert.NotAfter.After(ca.NotAfter) {
			t.Errorf("accepted as %q, but it is %s, %s, names %q, uses %v %v, CA %v %d", said, cert.Subject, cert.Issuer, names, cert.KeyUsage, cert.ExtKeyUsage, cert.IsCA, cert.MaxPathLen)
		}
	})
}

// The same for lists: what is accepted is a whole list of this authority, with the number that was asked for, that takes nothing back.
func FuzzPolicyList(f *testing.F) {
	if _, err := exec.LookPath("awk"); err != nil {
		f.Skip(err)
	}
	ca := judgedCA(f)
	var good [][]byte
	for n := range 3 {
		var revoked []pki.Revoked
		for i := range n {
			revoked = append(revoked, pki.Revoked{Serial: big.NewInt(int64(1000 + i)), At: time.Now(), Expires: ca.NotAfter, Reason: i})
		}
		tbs, _, err := pki.CRLTBS(ca, big.NewInt(0x1234), revoked, time.Now())
		if err != nil {
			f.Fatal(err)
		}
		if said := byPolicy(f, ca, "list", "1234", tbs); said != "list\n" {
			f.Fatalf("a good list: %s", said)
		}
		good = append(good, tbs)
		for at := range tbs {
			if at%16 == n { // a few of the places
				f.Add(uint8(n), uint16(at), byte(1), uint16(0), []byte{}, uint8(0))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, flip byte, cut uint16, put []byte, drop uint8) {
		tbs := bytes.Clone(good[int(which)%len(good)])
		tbs[int(at)%len(tbs)] ^= flip
		if len(put) > 0 || drop > 0 {
			from := int(cut) % len(tbs)
			tbs = slices.Replace(tbs, from, min(len(tbs), from+int(drop)), put...)
		}
		if byPolicy(t, ca, "list", "1234", tbs) != "list\n" {
			return
		}
		der, err := pki.Assemble(tbs, "ecdsa-with-SHA256", nil)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		ok := bytes.Equal(list.RawIssuer, ca.RawSubject) && list.Number.Int64() == 0x1234 && bytes.Equal(list.AuthorityKeyId, ca.SubjectKeyId) && len(list.Extensions) == 2 &&
			list.ThisUpdate.Before(time.Now().Add(time.Hour)) && list.NextUpdate.After(time.Now().Add(89*24*time.Hour))
		for _, e := range list.RevokedCertificateEntries {
			ok = ok && e.ReasonCode >= 0 && e.ReasonCode <= 6 && e.SerialNumber.Sign() > 0 && len(e.Extensions) <= 1
		}
		if !ok {
			t.Errorf("accepted, but it is %+v", list)
		}
	})
}
