package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"
)

// foreign makes a certificate that TBS would not make.
func foreign(t *testing.T, by *issuer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	key := newKey(t, "")
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "foreign"}, NotBefore: now.Add(-year), NotAfter: now.Add(year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLen: -1}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

func TestVerifyChain(t *testing.T) {
	root := newAuthority(t, nil, "root", 10*year, 2, "")
	sub := newAuthority(t, root, "sub", 5*year, 0, "")
	other := newAuthority(t, nil, "other", 10*year, 1, "")
	imposter := newAuthority(t, nil, "root", 10*year, 1, "")
	leaf := issue(t, sub, serverTemplate("db", []string{"db"}), newKey(t, ""), now)
	leaf2 := issue(t, sub, clientTemplate("u"), newKey(t, ""), now)
	noCRL := foreign(t, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	noSign := foreign(t, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	noCA := foreign(t, root, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.MaxPathLen = false, x509.KeyUsageDigitalSignature, 0
	})
	deep := foreign(t, sub, func(*x509.Certificate) {})
	old := foreign(t, root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) })
	young := foreign(t, root, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) })
	renewed := issue(t, root, Template{Profile: ProfileCA, Subject: old.cert.Subject, ValidFor: year, MaxPathLen: 0}, old.key, now)
	below := func(by *issuer) *x509.Certificate {
		return foreign(t, by, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.MaxPathLen = false, x509.KeyUsageDigitalSignature, 0
		}).cert
	}
	list := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	lists := func(l ...*x509.RevocationList) []*x509.RevocationList { return append([]*x509.RevocationList{}, l...) }
	rootList, subList := root.crl(t, 1, 0, now), sub.crl(t, 1, 0, now)
	revoked := sub.crl(t, 2, 0, now, Revoked{Serial: leaf.SerialNumber, At: now, Reason: 1})
	short := sub.crl(t, 3, time.Minute, now.Add(-time.Hour))
	for _, c := range []struct {
		name string
		leaf *x509.Certificate
		opts ChainOptions
		want ChainProblem
	}{
		{"good", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), Use: ProfileServer}, ""},
		{"good with lists", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(subList, rootList)}, ""},
		{"intermediate among the roots (W7)", leaf, ChainOptions{Roots: list(root.cert, sub.cert)}, ""},
		{"no intermediate", leaf, ChainOptions{Roots: list(root.cert)}, ChainIncomplete},
		{"only the intermediate", leaf, ChainOptions{Roots: list(sub.cert)}, ChainIncomplete},
		{"another root", leaf, ChainOptions{Roots: list(other.cert), Intermediates: list(sub.cert, root.cert)}, ChainNotTrusted},
		{"a root of the same name", leaf, ChainOptions{Roots: list(imposter.cert), Intermediates: list(sub.cert)}, ChainSignature},
		{"expired", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), Now: now.Add(2 * year)}, ChainExpired},
		{"early", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), Now: now.Add(-time.Hour)}, ChainNotYet},
		{"server as client", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), Use: ProfileClient}, ChainWrongUse},
		{"client as server", leaf2, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), Use: ProfileServer}, ChainWrongUse},
		{"no list of the root", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(subList)}, ChainNoCRL},
		{"no list at all", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists()}, ChainNoCRL},
		{"list ended", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(short, rootList)}, ChainCRLInvalid},
		{"an ended list and a good one", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(short, subList, rootList)}, ""},
		{"revoked", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(revoked, rootList)}, ChainRevoked},
		{"revoked, and an older list", leaf, ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert), CRLs: lists(subList, revoked, rootList)}, ChainRevoked},
		{"no cRLSign", below(noCRL), ChainOptions{Roots: list(root.cert), Intermediates: list(noCRL.cert), CRLs: lists(rootList)}, ChainNoCRLSign},
		{"no cRLSign, no lists asked", below(noCRL), ChainOptions{Roots: list(root.cert), Intermediates: list(noCRL.cert)}, ""},
		{"no keyCertSign", below(noSign), ChainOptions{Roots: list(root.cert), Intermediates: list(noSign.cert)}, ChainNoCA},
		{"no authority", below(noCA), ChainOptions{Roots: list(root.cert), Intermediates: list(noCA.cert)}, ChainNoCA},
		{"path too long", below(deep), ChainOptions{Roots: list(root.cert), Intermediates: list(sub.cert, deep.cert)}, ChainPathLength},
		{"expired authority", below(old), ChainOptions{Roots: list(root.cert), Intermediates: list(old.cert)}, ChainExpired},
		{"an expired authority and its renewed certificate", below(old), ChainOptions{Roots: list(root.cert), Intermediates: list(old.cert, renewed)}, ""},
		{"early authority", below(young), ChainOptions{Roots: list(root.cert), Intermediates: list(young.cert)}, ChainNotYet},
	} {
		if c.opts.Now.IsZero() {
			c.opts.Now = now
		}
		_, err := VerifyChain(c.leaf, c.opts)
		var chain *ChainError
		if got := ChainProblem(""); errors.As(err, &chain) || err == nil {
			if chain != nil {
				got = chain.Problem
			}
			if got != c.want {
				t.Errorf("%s: %q (%v), wanted %q", c.name, got, err, c.want)
			}
			continue
		}
		t.Errorf("%s: the error is no ChainError: %v", c.name, err)
	}
}

// What a leaf is for, openssl is asked too.
func TestUseOfLeaf(t *testing.T) {
	root := newAuthority(t, nil, "root", 10*year, 2, "")
	sub := newAuthority(t, root, "sub", 5*year, 0, "")
	type usages = []x509.ExtKeyUsage
	for _, c := range []struct {
		name           string
		usages         usages
		key            x509.KeyUsage
		server, client bool
	}{
		{"anything by silence", nil, 0, true, true},
		{"any", usages{x509.ExtKeyUsageAny}, 0, false, false},
		{"any and server", usages{x509.ExtKeyUsageAny, x509.ExtKeyUsageServerAuth}, 0, true, false},
		{"server", usages{x509.ExtKeyUsageServerAuth}, x509.KeyUsageDigitalSignature, true, false},
		{"client", usages{x509.ExtKeyUsageClientAuth}, x509.KeyUsageDigitalSignature, false, true},
		{"both", usages{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, 0, true, true},
		{"server gated cryptography", usages{x509.ExtKeyUsageMicrosoftServerGatedCrypto}, 0, true, false},
		{"e-mail", usages{x509.ExtKeyUsageEmailProtection}, 0, false, false},
		{"key for encipherment", nil, x509.KeyUsageKeyEncipherment, true, false},
		{"key for agreement", nil, x509.KeyUsageKeyAgreement, true, true},
		{"key for signing certificates", nil, x509.KeyUsageCertSign, false, false},
	} {
		leaf := foreign(t, sub, func(x *x509.Certificate) { x.IsCA, x.MaxPathLen, x.KeyUsage, x.ExtKeyUsage = false, 0, c.key, c.usages }).cert
		for use, want := range map[Profile]bool{ProfileServer: c.server, ProfileClient: c.client} {
			_, err := VerifyChain(leaf, ChainOptions{Roots: []*x509.Certificate{root.cert}, Intermediates: []*x509.Certificate{sub.cert}, Use: use, Now: now})
			if (err == nil) != want {
				t.Errorf("%s as %s: %v", c.name, use, err)
			}
			if out, takes := opensslTakes(t, leaf, []*x509.Certificate{sub.cert, root.cert}, use); takes != want {
				t.Errorf("%s as %s: openssl accepts: %v\n%s", c.name, use, takes, out)
			}
		}
	}
}
