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
	got := Withdraw(lines, "dbuser1", []netip.Addr{addr("10.0.0.1"), addr("fd00::1")}, false)
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
	if again := Withdraw(got, "dbuser1", []netip.Addr{addr("10.0.0.1")}, false); !slices.Equal(again, got) {
		t.Errorf("again: %q", again)
	}
	if same := Withdraw([]string{"# nothing declared"}, "dbuser1", nil, true); len(same) != 1 {
		t.Errorf("without declared logins: %q", same)
	}
}

// The logins of a role by which a host reaches itself come before the user's own rules for loopback addresses, and go with the role alone.
func TestOwnLogins(t *testing.T) {
	loop := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	from := append([]netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, loop...)
	user, err := ReadHBA([]byte("host all all 127.0.0.1/32 md5\nhostssl all batch 127.0.0.1/32 trust\n"), 15)
	if err != nil {
		t.Fatal(err)
	}
	lines := Block{Keep: loop, Admit: []Admission{{User: "batch", Addresses: from, Method: "cert"}, {User: "shop", Addresses: from, Method: "cert"}}}.Lines(user)
	method := func(lines []string, user string, tls bool) string {
		rules, err := ReadHBA([]byte(strings.Join(lines, "\n")), 15)
		if err != nil {
			t.Fatal(err)
		}
		d := Reader{Major: 15}.Deciding(rules, Login{User: user, Database: "postgres", Address: netip.MustParseAddr("127.0.0.1"), TLS: tls})
		if len(d) != 1 || d[0] == nil {
			t.Fatalf("%s: %v", user, d)
		}
		return d[0].Method
	}
	without := Withdraw(lines, "batch", []netip.Addr{netip.MustParseAddr("10.0.0.1")}, true)
	neither := Withdraw(without, "shop", nil, true)
	for _, c := range []struct {
		lines       []string
		user, plain string
		tls         string
	}{
		{lines, "batch", "md5", "cert"}, {lines, "shop", "md5", "cert"}, {lines, "other", "md5", "md5"},
		{without, "batch", "md5", "md5"}, {without, "shop", "md5", "cert"}, {neither, "shop", "md5", "md5"},
		{Withdraw(lines, "batch", nil, false), "batch", "md5", "cert"},
	} {
		if plain, tls := method(c.lines, c.user, false), method(c.lines, c.user, true); plain != c.plain || tls != c.tls {
			t.Errorf("%s: %s without TLS, %s with; want %s, %s\n%s", c.user, plain, tls, c.plain, c.tls, strings.Join(c.lines, "\n"))
		}
	}
	if slices.Contains(neither, ownMark) || !slices.Contains(without, ownMark) {
		t.Errorf("%q\n%q", without, neither)
	}
}
