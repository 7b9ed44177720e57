package pki

import (
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What is allowed is what openssl, and so PostgreSQL and libpq, accept of the certificate once it is there; VerifyChain says the same of it.
func TestAllows(t *testing.T) {
	network := func(text string) *net.IPNet {
		_, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	root := newAuthority(t, nil, "root", 10*year, 3, "")
	server, client := serverTemplate("db1.example.net", []string{"db1.example.net"}, net.IPv4(10, 0, 0, 1).To4()), clientTemplate("dbuser1")
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		want   Template
		says   string // "": allowed
	}{
		{"nothing said", func(*x509.Certificate) {}, server, ""},
		{"for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, server, ""},
		{"for servers, a client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, client, "its extendedKeyUsage lacks clientAuth"},
		{"for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, client, ""},
		{"for clients, a server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, server, "lacks serverAuth, so every certificate of a server below it is refused: ask for it without extendedKeyUsage"},
		{"for anything", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, server, "lacks serverAuth"},
		{"for mail", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, client, "lacks clientAuth"},
		{"the domain above", func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedIPRanges = []string{"Example.net", "10.0.0.1"}, []*net.IPNet{network("10.0.0.0/8")}
		}, server, ""},
		{"the domain above, addresses as text", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.net"} }, server, "permit only example.net, so a certificate for 10.0.0.1"},
		{"another domain", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"corp.example"} }, server, "permit only corp.example, so a certificate for db1.example.net below it is refused: ask for it without nameConstraints"},
		{"a domain that ends alike", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"ample.net", "10.0.0.1"} }, server, "permit only ample.net"},
		{"only below it", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{".db1.example.net", "10.0.0.1"} }, server, "permit only .db1.example.net"},
		{"excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"example.net"} }, server, "exclude example.net"},
		{"another excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"www.example.net"} }, server, ""},
		{"another network", func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{network("10.1.0.0/16")} }, server, "permit only 10.1.0.0/16"},
		{"the network excluded", func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{network("10.0.0.0/24")} }, server, "exclude 10.0.0.0/24"},
		{"names, a client", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"corp.example"} }, client, ""},
		{"names, a client called like a host", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"corp.example"} }, clientTemplate("db.user1"), "for db.user1 below it"},
		{"no authority below", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, server, ""},
		{"no authority below, an authority", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, Template{Profile: ProfileCA}, "it allows 0 authorities below it, 1 are needed: ask its owner for one with path length 1"},
		{"one below, an authority", func(c *x509.Certificate) { c.MaxPathLen = 1 }, Template{Profile: ProfileCA}, ""},
		{"one below, two", func(c *x509.Certificate) { c.MaxPathLen = 1 }, Template{Profile: ProfileCA, MaxPathLen: 1}, "2 are needed"},
	} {
		ca := foreign(t, root, c.change)
		chain, want := []*x509.Certificate{ca.cert, root.cert}, c.want
		signer := ca
		if want.Profile == ProfileCA { // what counts is a leaf below all of them
			for depth := range want.MaxPathLen + 1 {
				signer = foreign(t, signer, func(c *x509.Certificate) { c.Subject.CommonName = strconv.Itoa(depth) })
				chain = append([]*x509.Certificate{signer.cert}, chain...)
			}
			want = client
		}
		leaf := issue(t, signer, want, newKey(t, ""), now)
		c.want.DNSNames = append(c.want.DNSNames, leaf.DNSNames...)
		err := Allows([]*x509.Certificate{ca.cert, root.cert}, c.want)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if out, ok := opensslTakes(t, leaf, chain, want.Profile); ok != (c.says == "") {
			t.Errorf("%s: openssl accepts: %v\n%s", c.name, ok, out)
		}
		if _, err := VerifyChain(leaf, ChainOptions{Roots: chain[len(chain)-1:], Intermediates: chain, Use: want.Profile, Now: now}); (err == nil) != (c.says == "") {
			t.Errorf("%s: the chain: %v", c.name, err)
		}
	}
}

// opensslTakes tells whether openssl accepts a certificate, with the chain above it, its root last.
func opensslTakes(t *testing.T, leaf *x509.Certificate, chain []*x509.Certificate, use Profile) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, certs ...*x509.Certificate) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, CertificatePEM(certs...), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	last := len(chain) - 1
	out, err := exec.Command("openssl", "verify", "-purpose", "ssl"+string(use), "-attime", strconv.FormatInt(now.Unix(), 10),
		"-CAfile", write("root", chain[last]), "-untrusted", write("chain", chain[:last]...), write("leaf", leaf)).CombinedOutput()
	return string(out), err == nil
}
