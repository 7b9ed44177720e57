package postgres

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The logins of a role from an address go, its refusals stay: nobody is let in who was not before, and the role is not let in from there by later rules.
func TestWithdraw(t *testing.T) {
	addr := netip.MustParseAddr
	single := func(text string) netip.Prefix { return netip.PrefixFrom(addr(text), addr(text).BitLen()) }
	block := Block{
		Exceptions: []string{"hostssl all dbuser1 10.0.0.1/32 scram-sha-256"},
		Admit: []Admission{
			{User: "dbuser1", Addresses: []netip.Prefix{single("10.0.0.1"), single("10.0.0.2"), single("fd00::1"), netip.MustParsePrefix("10.1.0.0/16")}, Method: "cert"},
			{User: "all", Databases: []string{"a b"}, Addresses: []netip.Prefix{single("10.0.0.1")}, Method: "cert"},
			{User: "DbUser1", Addresses: []netip.Prefix{single("10.0.0.1")}, Method: "cert"},
		},
		CatchAll: "cert",
	}
	lines := block.Lines(nil)
	got := Withdraw(lines, "dbuser1", []netip.Addr{addr("10.0.0.1"), addr("fd00::1")})
	gone := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(got, l) })
	for i := range gone {
		gone[i] = strings.Join(strings.Fields(gone[i]), " ")
	}
	if want := []string{"hostssl all dbuser1 10.0.0.1/32 cert", "hostssl all dbuser1 fd00::1/128 cert"}; !slices.Equal(gone, want) {
		t.Errorf("gone are %q, want %q", gone, want)
	}
	admitted := func(lines []string, user, from string) bool {
		rules, err := ReadHBA([]byte(strings.Join(lines[3:], "\n")), 15) // without the exceptions
		if err != nil {
			t.Fatal(err)
		}
		d := Reader{Major: 15}.Deciding(rules, Login{User: user, Database: "postgres", Address: addr(from), TLS: true})
		return len(d) == 1 && d[0] != nil && d[0].Method != "reject"
	}
	for _, c := range []struct {
		user, from    string
		before, after bool
	}{
		{"dbuser1", "10.0.0.1", true, false}, {"dbuser1", "10.0.0.2", true, true}, {"dbuser1", "fd00::1", true, false}, {"dbuser1", "10.1.2.3", true, true},
		{"DbUser1", "10.0.0.1", true, true}, {"dbuser1", "10.9.9.9", false, false}, {"other", "10.0.0.1", true, true},
	} {
		if before, after := admitted(lines, c.user, c.from), admitted(got, c.user, c.from); before != c.before || after != c.after {
			t.Errorf("%s from %s: admitted before %t, after %t; want %t, %t", c.user, c.from, before, after, c.before, c.after)
		}
	}
	if again := Withdraw(got, "dbuser1", []netip.Addr{addr("10.0.0.1")}); !slices.Equal(again, got) {
		t.Errorf("again: %q", again)
	}
	if same := Withdraw([]string{"# nothing declared"}, "dbuser1", nil); len(same) != 1 {
		t.Errorf("without declared logins: %q", same)
	}
}
