package sshconfig

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRandomAgainstSSH makes configurations from a fixed seed and asks pgfleet and the real ssh about them.
func TestRandomAgainstSSH(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ssh is not installed, and in CI this comparison must not be skipped")
		}
		t.Skip("ssh is not installed")
	}
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	included := filepath.Join(dir, "included")
	config := filepath.Join(dir, "config")
	for i := range 150 {
		text := randomConfig(r, included)
		inner := randomConfig(r, "")
		for path, data := range map[string]string{config: text, included: inner} {
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ask := pick(r, "a", "ab", "a.net", "b.a.net", "A", "10.0.0.1", "-o User=root a", "-o HostName=a.net b")
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { compare(t, ssh, config, ask) }) {
			t.Fatalf("asked for %s\n%s\n-- included:\n%s", ask, text, inner)
		}
	}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomConfig(r *rand.Rand, include string) string {
	var b strings.Builder
	for range r.IntN(6) + 1 {
		patterns := func(separator string) string {
			out := pick(r, "a*", "*", "?", "??", "!a", "*.net", "b.*", "10.0.*", "A", "a?net")
			for range r.IntN(2) {
				out += separator + pick(r, "*", "!*.net", "a", "!b*", "10.?.0.1")
			}
			return out
		}
		switch r.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "Match %shost %s\n", pick(r, "", "!"), patterns(","))
		case 1:
			fmt.Fprintf(&b, "match %soriginalhost %s user %s\n", pick(r, "", "!"), patterns(","), pick(r, "root", "x,y", "*", "!root,*"))
		case 2:
			fmt.Fprintf(&b, "Match %s\n", pick(r, "all", "!all", "canonical", "canonical all", "final host *.net", "!final localuser root", "final all",
				"!final all", "user root all", "Host a", "host=a"))
		default:
			fmt.Fprintf(&b, "Host%s%s\n", pick(r, " ", "\t", "=", " = "), patterns(" "))
		}
		for range r.IntN(5) {
			b.WriteString(pick(r, "  ", "\t", ""))
			b.WriteString(pick(r,
				"HostName %h.a.net", "HostName x.net", "HostName=\"a.net\"", "User x", "User 'y z'", "Port 2201", "Port=2202", "port 2203 # why",
				"IdentityFile /k/1", "IdentityFile \"/k/2 3\"", "IdentityFile none", "CertificateFile /c/1", "UserKnownHostsFile /h/1 /h/2",
				"UserKnownHostsFile none", "GlobalKnownHostsFile /g", "ProxyJump j1,u@j2:22", "ProxyJump none", "ProxyCommand nc %h %p",
				"ProxyCommand none", "HostKeyAlias z", "ConnectTimeout 1m5", "ConnectTimeout none", "ServerAliveInterval 7", "IdentitiesOnly yes",
				"IdentitiesOnly no", "IdentityAgent none", "IdentityAgent /tmp/sock", "# a comment", "ForwardAgent yes"))
			b.WriteString("\n")
		}
		if include != "" && r.IntN(3) == 0 {
			fmt.Fprintf(&b, "Include %s\n", include)
		}
	}
	return b.String()
}
