package inventory

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// large is an inventory of n hosts, half servers, half clients of all of them, with groups, and an ssh_config of 300 blocks.
func large(tb testing.TB, n int) (text []byte, opt Options) {
	tb.Helper()
	var b strings.Builder
	b.WriteString("vars: {ssh_user: ops, a: 1, b: 2}\nhosts:\n  ca.example.net: {roles: [root_ca]}\n")
	for i := range n / 2 {
		fmt.Fprintf(&b, "  db%d.example.net: {roles: [db_server], groups: [east], vars: {n: %d}}\n", i, i)
		fmt.Fprintf(&b, "  app%d.example.net: {roles: [client], connects_to: [db_server], identities: {app: [user%d]}}\n", i, i)
	}
	b.WriteString("groups: {east: {vars: {region: east}}, wide: {hosts: ['app*'], vars: {x: 1}}}\n")
	b.WriteString("authorities: {clients: {host: ca.example.net, subject: CN=x}}\n")
	var config strings.Builder
	for i := range 300 {
		fmt.Fprintf(&config, "Host *%d.example.net\n  ServerAliveInterval %d\n  IdentityFile ~/.ssh/k%d\n", i, i+1, i)
	}
	config.WriteString("Host *\n  ProxyJump gate1,gate2\n  IdentitiesOnly yes\n")
	opt = hermetic
	opt.SSHConfig = filepath.Join(tb.TempDir(), "config")
	if err := os.WriteFile(opt.SSHConfig, []byte(strings.Replace(config.String(), "Host *\n", "Host *.example.net\n", 1)), 0o600); err != nil {
		tb.Fatal(err)
	}
	return []byte(b.String()), opt
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1000, 5000, 20000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text, opt := large(b, n-2)
			for b.Loop() {
				if _, err := Parse("f", text, opt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	text, opt := large(b, 5000)
	inv, err := Parse("f", text, opt)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := inv.Select("client:!app1*:&wide,db[0:99]"); err != nil {
			b.Fatal(err)
		}
	}
}
