package pki

import (
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestCRL(t *testing.T) {
	root := newAuthority(t, nil, "root", 2*year, 1, "")
	other := newAuthority(t, nil, "other", 2*year, 1, "")
	sameName := newAuthority(t, nil, "root", 2*year, 1, "")
	dead := Revoked{Serial: big.NewInt(10), At: now.Add(-2 * year), Expires: now.Add(-year), Reason: 1}
	alive := Revoked{Serial: big.NewInt(11), At: now.Add(-time.Hour), Expires: now.Add(year), Reason: 1}
	unknown := Revoked{Serial: big.NewInt(12), At: now.Add(-time.Hour)}
	list := root.crl(t, 2, 0, now, alive, dead, unknown)
	if Lists(list, dead.Serial) || !Lists(list, alive.Serial) || !Lists(list, unknown.Serial) {
		t.Error("a list holds what has not expired, and only that")
	}
	if !list.NextUpdate.Equal(root.cert.NotAfter) || !list.ThisUpdate.Equal(now.Add(-Backdate)) || len(list.AuthorityKeyId) == 0 {
		t.Errorf("list from %s to %s, key identifier %x", list.ThisUpdate, list.NextUpdate, list.AuthorityKeyId)
	}
	if long := newAuthority(t, nil, "long", 20*year, 1, "").crl(t, 1, 0, now); !long.NextUpdate.Equal(now.Add(MaxCRLLife)) {
		t.Errorf("a list of an authority of 20 years ends on %s", long.NextUpdate)
	}
	first := root.crl(t, 1, 0, now)
	if got := Dropped(list, root.crl(t, 3, 0, now, unknown)); len(got) != 1 || got[0].SerialNumber.Cmp(alive.Serial) != 0 {
		t.Errorf("dropped are %v", got)
	}
	if got := Dropped(first, list); len(got) != 0 {
		t.Errorf("nothing was on the list before, dropped are %v", got)
	}
	for _, c := range []struct {
		name   string
		list   *x509.RevocationList
		ca     *issuer
		before *x509.RevocationList
		listed []Revoked
		at     time.Time
		want   string
	}{
		{"good", list, root, first, []Revoked{alive, dead, unknown}, now, ""},
		{"of another authority", list, other, nil, nil, now, "does not belong"},
		{"of one with the same name", list, sameName, nil, nil, now, "not signed by its key"},
		{"number does not rise", first, root, list, nil, now, "not above 2"},
		{"the same number", list, root, list, nil, now, "not above 2"},
		{"lacks one", first, root, nil, []Revoked{alive}, now, "lacks the revoked certificate 0B"},
		{"lacks an expired one", first, root, nil, []Revoked{dead}, now, ""},
		{"early", list, root, nil, nil, now.Add(-time.Hour), "is not valid before"},
		{"ended", root.crl(t, 3, time.Hour, now), root, nil, nil, now.Add(time.Hour), "ended on"},
	} {
		err := CheckCRL(c.list, c.ca.cert, c.before, c.listed, c.at)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, wanted %q", c.name, err, c.want)
		}
	}
	if _, _, err := CRLTBS(root.cert, big.NewInt(4), nil, now.Add(3*year)); !errors.Is(err, ErrAuthorityDue) {
		t.Errorf("a list of an authority that ended: %v", err)
	}
	for name, code := range reasons {
		if got, err := ParseReason(name); err != nil || got != code || ReasonName(code) != name {
			t.Errorf("reason %s: %d, %v, %s", name, got, err, ReasonName(code))
		}
	}
	if _, err := ParseReason("boredom"); err == nil {
		t.Error("an unknown reason was accepted")
	}
}
