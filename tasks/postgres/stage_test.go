package postgres

import (
	"net/netip"
	"testing"
)

func TestStageOf(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	for _, tt := range []struct {
		name, stage, scope string
		block              Block
	}{
		{"cert", "cert", "declared", Block{Admit: []Admission{{User: "u", Addresses: from, Method: "cert"}}}},
		{"verify-full", "verify-full", "declared", Block{Admit: []Admission{{User: "u", Addresses: from, Method: "scram-sha-256 clientcert=verify-full"}}}},
		{"verify-ca on 12", "verify-ca", "declared", Block{Admit: []Admission{{User: "u", Addresses: from, Method: "md5 clientcert=1"}}}},
		{"password for all", "password", "all", Block{CatchAll: "scram-sha-256"}},
		{"the strongest counts", "cert", "declared", Block{Admit: []Admission{{User: "u", Addresses: from, Method: "cert"}, {User: "v", Addresses: from, Method: "md5"}}}},
		{"a method that is none of ours", "altered", "declared", Block{Admit: []Admission{{User: "u", Addresses: from, Method: "trust"}}}},
		{"exceptions alone let none of ours in", "altered", "declared", Block{Exceptions: []string{"hostssl all monitor 10.0.0.1/32 cert"}}},
		{"standbys alone, nobody refused", "permissive", "declared", Block{Open: true, Replicate: []Admission{{User: "r", Addresses: from, Method: "cert"}}}},
		{"standbys alone", "cert", "declared", Block{Replicate: []Admission{{User: "r", Addresses: from, Method: "cert"}}}},
		{"standbys, and applications by password", "password", "declared", Block{Replicate: []Admission{{User: "r", Addresses: from, Method: "cert"}},
			Admit: []Admission{{User: "u", Addresses: from, Method: "md5"}}}},
		{"none", "permissive", "declared", Block{AllowPlain: true}},
	} {
		stage, scope := StageOf(JoinBlock(tt.block.Lines(nil), []byte("host all all all md5\n")))
		if stage != tt.stage || scope != tt.scope {
			t.Errorf("%s: got %s, %s; want %s, %s", tt.name, stage, scope, tt.stage, tt.scope)
		}
	}
}

func TestStageFor(t *testing.T) {
	block := Block{Exceptions: []string{"host all monitor 10.0.0.9/32 scram-sha-256", "host all +readers 10.0.0.0/8 reject"},
		Admit: []Admission{{User: "u", Databases: []string{"d"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}, Method: "scram-sha-256 clientcert=verify-full"}}}
	all := block
	all.CatchAll = "cert"
	included := block
	included.Exceptions = []string{"host all all app.example.net md5"}
	for _, tt := range []struct {
		name, user, db, addr, want string
		block                      Block
	}{
		{"admitted", "u", "d", "10.0.0.7", "verify-full", block},
		{"another database", "u", "e", "10.0.0.7", "", block},
		{"another address", "u", "d", "10.0.0.8", "", block},
		{"another user", "v", "d", "10.0.0.7", "", block},
		{"another user, catch-all", "v", "d", "10.0.0.7", "cert", all},
		{"the declared one before the catch-all", "u", "d", "10.0.0.7", "verify-full", all},
		{"an exception for a group refuses", "reader", "d", "10.0.0.7", "", all},
		{"a rule that may come before", "u", "d", "10.0.0.7", "", included},
		{"no block", "u", "d", "10.0.0.7", "", Block{AllowPlain: true}},
	} {
		reader := Reader{Major: 15, Groups: func(role string) []string { return map[string][]string{"reader": {"readers"}}[role] }}
		got := reader.StageFor(JoinBlock(tt.block.Lines(nil), []byte("hostssl all all all cert\n")), Login{User: tt.user, Database: tt.db, Address: netip.MustParseAddr(tt.addr)})
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
