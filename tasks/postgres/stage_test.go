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
		{"exceptions say nothing", "permissive", "declared", Block{Exceptions: []string{"hostssl all monitor 10.0.0.1/32 cert"}}},
		{"none", "permissive", "declared", Block{AllowPlain: true}},
	} {
		stage, scope := StageOf(JoinBlock(tt.block.Lines(nil), []byte("host all all all md5\n")))
		if stage != tt.stage || scope != tt.scope {
			t.Errorf("%s: got %s, %s; want %s, %s", tt.name, stage, scope, tt.stage, tt.scope)
		}
	}
}
