package pki

import (
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"
)

func TestRenew(t *testing.T) {
	root := newAuthority(t, nil, "root", 10*year, 1, "")
	renamed := newAuthority(t, nil, "root2", 10*year, 1, "")
	rekeyed := newAuthority(t, nil, "root", 10*year, 1, "")
	key := newKey(t, "")
	tmpl := serverTemplate("db1", []string{"db1.example.net", "DB.example.net"}, net.IPv4(10, 0, 0, 1))
	cert := issue(t, root, tmpl, key, now)
	good := RenewPolicy{Template: serverTemplate("db1", []string{"db.example.net", "db1.example.net"}, net.ParseIP("10.0.0.1")), Issuer: root.cert, Key: key.Public(), CRL: root.crl(t, 1, 0, now)}
	with := func(change func(*RenewPolicy)) RenewPolicy {
		p := good
		change(&p)
		return p
	}
	for _, c := range []struct {
		name   string
		cert   *x509.Certificate
		policy RenewPolicy
		at     time.Time
		want   string
	}{
		{"as wanted, names in another order", cert, good, now, ""},
		{"nothing is asked of it", cert, RenewPolicy{}, now, ""},
		{"a day before two thirds", cert, good, now.Add(year/3*2 - 24*time.Hour), ""},
		{"two thirds", cert, good, now.Add(year / 3 * 2), "two thirds of its life are over (121 days left)"},
		{"ended", cert, good, now.Add(2 * year), "it ended on 2027-06-01"},
		{"none", nil, good, now, "there is none"},
		{"asked for", cert, with(func(p *RenewPolicy) { p.Asked = true }), now, "asked for"},
		{"another key", cert, with(func(p *RenewPolicy) { p.Key = newKey(t, "").Public() }), now, "its key is not the one on the host"},
		{"another issuer", cert, with(func(p *RenewPolicy) { p.Issuer = renamed.cert }), now, "its issuer is CN=root, wanted is CN=root2"},
		{"issuer with a new key", cert, with(func(p *RenewPolicy) { p.Issuer = rekeyed.cert }), now, "the key of its issuer CN=root has changed"},
		{"revoked", cert, with(func(p *RenewPolicy) {
			p.CRL = root.crl(t, 2, 0, now, Revoked{Serial: cert.SerialNumber, At: now, Reason: 1})
		}), now, "revoked on 2026-06-01 (keyCompromise)"},
		{"the same number on another's list", cert, with(func(p *RenewPolicy) {
			p.CRL = renamed.crl(t, 2, 0, now, Revoked{Serial: cert.SerialNumber, At: now, Reason: 1})
		}), now, ""},
		{"another subject", cert, with(func(p *RenewPolicy) { p.Template.Subject.CommonName = "db2" }), now, `its subject is "CN=db1", wanted is "CN=db2"`},
		{"one name more", cert, with(func(p *RenewPolicy) { p.Template.DNSNames = append(p.Template.DNSNames, "x") }), now, "its names are"},
		{"one name less", cert, with(func(p *RenewPolicy) { p.Template.DNSNames = p.Template.DNSNames[:1] }), now, "its names are"},
		{"another use", cert, with(func(p *RenewPolicy) { p.Template = clientTemplate("db1") }), now, "its names are"},
	} {
		due, reason := Renew(c.cert, c.policy, c.at)
		if due != (c.want != "") || !strings.HasPrefix(reason, c.want) {
			t.Errorf("%s: %v %q, wanted %q", c.name, due, reason, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	root := newAuthority(t, nil, "root", 10*year, 1, "")
	cert := issue(t, root, serverTemplate("db1", []string{"db1.example.net"}, net.IPv4(10, 0, 0, 1)), newKey(t, "p384"), now)
	text := Describe(cert)
	for _, want := range []string{"subject:     CN=db1\n", "names:       db1.example.net 10.0.0.1\n", "use:         server\n", "key:         ecdsa-p384\n",
		"not before:  2026-06-01T11:55:00Z\n", "not after:   2027-06-01T12:00:00Z\n", "issuer:      CN=root\n", "serial:      " + FormatSerial(cert.SerialNumber), "sha256:      " + Fingerprint(cert)} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if len(Fingerprint(cert)) != 32*3-1 {
		t.Errorf("fingerprint %s", Fingerprint(cert))
	}
}
