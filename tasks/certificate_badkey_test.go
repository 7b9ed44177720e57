package tasks

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Of a key only that it was compromised is held against it: by the list of the authority in force or of one that is replaced, or by what somebody else's authority was asked to revoke;
// not what another authority says of another certificate with the same number.
func TestBadKey(t *testing.T) {
	t.Parallel()
	ca, old, other := newTestCA(t, "clients"), newTestCA(t, "old"), newTestCA(t, "other")
	key := newKey(t)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	held := func(by *testCA) []version {
		leaf := by.sign(t, &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "u"}}, key.Public())
		return []version{{Key: &entry{Public: pemText("PUBLIC KEY", public)}, Chain: []*x509.Certificate{leaf}}}
	}
	list := func(of *testCA, reason int) *x509.RevocationList {
		return &x509.RevocationList{RawIssuer: of.cert.RawSubject, RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(77), RevocationTime: time.Now(), ReasonCode: reason}}}
	}
	for _, reason := range []int{0, 1, 4, 5} {
		compromised := reason == 1
		for name, c := range map[string]struct {
			of   *testCA
			by   issuing
			want bool
		}{
			"listed":            {ca, issuing{crl: list(ca, reason)}, compromised},
			"listed before":     {old, issuing{crl: ca.list, before: []*x509.RevocationList{nil, list(old, reason)}}, compromised},
			"shall be revoked":  {ca, issuing{unwanted: []pki.Revoked{{Serial: big.NewInt(77), Reason: reason}}}, compromised},
			"listed by another": {ca, issuing{crl: list(other, reason)}, false},
			"nothing is known":  {ca, issuing{unwanted: []pki.Revoked{{Serial: big.NewInt(78), Reason: reason}}}, false},
		} {
			versions := held(c.of)
			if got := c.by.knownToOthers(&versions[0], versions); got != c.want {
				t.Errorf("%s, reason %d: %v, want %v", name, reason, got, c.want)
			}
		}
	}
}
