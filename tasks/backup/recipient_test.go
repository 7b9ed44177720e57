package backup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	native     = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"
	yubikey    = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"
	ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHb4Kpuo19k+HIVOXBZlPO714qG/Nwmqg5KLjZK3HYM0"
	rsa1024    = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDDHR/Yo0oACBP10HO0Gag8TAoM0TbFKfq2gFO7lMeLAc7D/DtcqSBgOjlan+M7KUUaKIJH5TAi/KIRFqFZWG3PAatsXHFYzOpmOkYFp281zDLg4vxDzGU+AurRJqo133htpJAgOeqGHnHQ2pD+oyvB2GymoEgZYrsRmWOkd8u23w=="
	rsa2048    = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCfEqo6287DzpT7nkq8P08fqaxiw37NnRWxDpeat727/5qPMGBKdFulkkswuaZJsORv+JKovadJTiCXBWdMfk9NsddYqHzMZ7jnDVHZJOpwxGgj9ngT/EaqhbFf9f1nEFtTQxZ4x+P3Srg3wKyaEabsC0jl01Ga0/CyQJ282Ln0xL027xisSvcmmijdQlAOL8Cp1w3zc/LbDT/rG+7eEoFLgE1q3bH+ekRiH5dRbwMqJch/T+5Qn4Z1j1vsOXmSSK256hO2Q+Qg+ubV6hiwwFmIwk66vO9sWG8iv4tjrozajnYPhQoOcWQKl2OT+qOUJBX/2Dfs7qkRosEsc/l8pUaF"
	ecdsaKey   = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBD7py4LKVnqqw1qephKvYU6nejH0MSMMWpAlMv9wUAYfB+gEom9Ge/YoswBXlodpCYEX/g/fXhfEkwsvozfRp1Q="
)

// TestCheckRecipient: what age takes is taken, also from plugins and with a comment; one mistyped character is seen. Where age is installed it has the last word.
func TestCheckRecipient(t *testing.T) {
	_, err := exec.LookPath("age")
	haveAge := err == nil
	for _, c := range []struct {
		line, says string
		// plugin: age cannot encrypt to it without the plugin. careless: age takes it all the same, or leaves it out.
		plugin, careless bool
	}{
		{line: native},
		{line: yubikey, plugin: true},
		{line: "age1pq1" + bech32Tail("age1pq", strings.Repeat("q", 1952)), plugin: true},
		{line: "age1se1" + bech32Tail("age1se", ""), plugin: true},
		{line: ed25519Key},
		{line: ed25519Key + " alice@desk, second key"},
		{line: strings.Replace(ed25519Key, " ", "\t  ", 1)},
		{line: rsa2048 + " alice@desk"},
		{line: "age1x", says: "is cut off"},
		{line: native[:len(native)-1], says: "is mistyped or cut off: its last six characters"},
		{line: strings.Replace(native, "3290gq", "3290qg", 1), says: "the checksum"},
		{line: strings.Replace(native, "qyq", "qbq", 1), says: "has 'b' in it"},
		{line: native + " backup", says: "has ' ' in it"},
		{line: native + "," + native, says: "has ',' in it"},
		{line: strings.Replace(yubikey, "yubikey", "yubikez", 1), says: "the checksum"},
		{line: "age1" + bech32Tail("age", strings.Repeat("q", 50)), says: "has a key of 31 bytes where 32 are wanted"},
		{line: "age1" + bech32Tail("age", strings.Repeat("q", 51)+"p"), says: "holds no whole number of bytes"},
		{line: "age1Yubi1" + bech32Tail("age1Yubi", "qq"), says: "has 'Y' in it"},
		{line: "age1pq1" + bech32Tail("age1pq", strings.Repeat("q", 8192)), says: "takes no line of more than 8192"},
		{line: strings.ToUpper(native), says: "is neither"},
		{line: "github:alice", says: "is neither"},
		{line: "", says: "is neither"},
		{line: ecdsaKey, says: "is neither", careless: true},
		{line: "ssh-dss AAAAB3NzaC1kc3MAAAAA", says: "of type ssh-dss", careless: true},
		{line: "ssh-", says: "of type ssh-;"},
		{line: "ssh-ed25519", says: "has nothing after ssh-ed25519"},
		{line: ed25519Key[:len(ed25519Key)-4], says: "its base64 is no public key"},
		{line: ed25519Key[:len(ed25519Key)-3], says: "illegal base64"},
		{line: strings.Replace(ed25519Key, "ssh-ed25519", "ssh-rsa", 1), says: `says ssh-rsa, but holds a key of type "ssh-ed25519"`, careless: true},
		{line: "ssh-rsa AAAAB3NzaC1yc2EAAAAA", says: "no key of type ssh-rsa", careless: true},
		{line: rsa1024, says: "of 1024 bits; age takes 2048 or more", careless: true},
	} {
		err := CheckRecipient(c.line)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%.80q: %v, want %q", c.line, err, c.says)
		}
		if !haveAge || c.plugin || c.careless {
			continue
		}
		file := filepath.Join(t.TempDir(), "recipients")
		if err := os.WriteFile(file, []byte(c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("age", "-a", "-R", file, os.DevNull).CombinedOutput(); (err == nil) != (c.says == "") {
			t.Errorf("%.80q: age says %v, %s", c.line, err, out)
		}
	}
}

// bech32Tail gives content with the checksum that makes the word kind + "1" + content a valid one.
func bech32Tail(kind, content string) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var values []byte
	for _, c := range []byte(kind) {
		values = append(values, c>>5)
	}
	values = append(values, 0)
	for _, c := range []byte(kind) {
		values = append(values, c&31)
	}
	for _, c := range content {
		values = append(values, byte(strings.IndexRune(alphabet, c)))
	}
	sum := uint32(1)
	for _, v := range append(values, 0, 0, 0, 0, 0, 0) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			sum ^= g * (top >> i & 1)
		}
	}
	sum ^= 1
	tail := ""
	for i := range 6 {
		tail += string(alphabet[sum>>(5*(5-i))&31])
	}
	return content + tail
}

// FuzzCheckRecipient: whatever is typed, an answer comes.
func FuzzCheckRecipient(f *testing.F) {
	for _, line := range []string{native, yubikey, ed25519Key, rsa1024, "age1", "ssh-", "ssh-rsa =", "age11", "age1\xff1"} {
		f.Add(line)
	}
	f.Fuzz(func(_ *testing.T, line string) { _ = CheckRecipient(line) })
}
