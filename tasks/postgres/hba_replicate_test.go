package postgres

import (
	"net/netip"
	"slices"
	"testing"
)

// Who may replicate, and how, with each kind of block above rules that let anybody replicate by password.
func TestReplicate(t *testing.T) {
	user := []byte("host replication all 10.0.0.0/8 scram-sha-256\nhost all all 0.0.0.0/0 scram-sha-256\n")
	standby := []Admission{{User: "r", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}, Method: "cert"}}
	open := Block{Open: true, Replicate: standby}
	closed := Block{Replicate: standby, Admit: []Admission{{User: "u", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.9/32")}, Method: "cert"}}}
	earlier := Block{Admit: closed.Admit}.Lines(nil)
	for _, tt := range []struct {
		name  string
		block []string
		// What decides a login of r from its standby, over TLS and in clear, one of r from elsewhere over TLS, and one of somebody else in clear.
		want [4]string
	}{
		{"none", nil, [4]string{"scram-sha-256", "scram-sha-256", "scram-sha-256", "scram-sha-256"}},
		{"nobody refused", open.Lines(nil), [4]string{"cert", "scram-sha-256", "scram-sha-256", "scram-sha-256"}},
		{"put in front of one", closed.Replicating(earlier), [4]string{"cert", "reject", "scram-sha-256", "reject"}},
		{"whole", closed.Lines(nil), [4]string{"cert", "reject", "reject", "reject"}},
	} {
		rules, err := ReadHBA(JoinBlock(tt.block, user), 15)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range []Login{{User: "r", Address: netip.MustParseAddr("10.0.0.2"), TLS: true}, {User: "r", Address: netip.MustParseAddr("10.0.0.2")},
			{User: "r", Address: netip.MustParseAddr("10.0.0.3"), TLS: true}, {User: "s", Address: netip.MustParseAddr("10.0.0.2")}} {
			l.Replication = true
			if got := (Reader{Major: 15}).Deciding(rules, l); len(got) != 1 || got[0] == nil || got[0].Method != tt.want[i] {
				t.Errorf("%s: %+v: decided by %+v, want %s", tt.name, l, got, tt.want[i])
			}
		}
		if tt.block != nil && !slices.Equal(closed.Replicating(tt.block), tt.block) {
			t.Errorf("%s: put in front twice: %q", tt.name, closed.Replicating(tt.block))
		}
	}
	// A standby that goes loses its rule, and is let in by no other.
	gone := Withdraw(closed.Lines(nil), "r", []netip.Addr{netip.MustParseAddr("10.0.0.2")}, false)
	rules, err := ReadHBA(JoinBlock(gone, user), 15)
	if got := (Reader{Major: 15}).Deciding(rules, Login{User: "r", Replication: true, TLS: true, Address: netip.MustParseAddr("10.0.0.2")}); err != nil || len(got) != 1 || got[0].Method != "reject" {
		t.Errorf("after it went: %+v, %v", got, err)
	}
}
