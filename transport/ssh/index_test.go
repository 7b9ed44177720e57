package ssh

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/pgfleet/pgfleet/transport"
)

// TestIndex: files with names hashed and plain, in any order, with patterns and markers between, say of every key of every host what the library makes of
// the same file, whether they are large enough for the index or not.
func TestIndex(t *testing.T) {
	keys := make([]ssh.PublicKey, 6)
	for i := range keys {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if keys[i], err = ssh.NewPublicKey(public); err != nil {
			t.Fatal(err)
		}
	}
	hosts := []string{"db1:22", "db2:22", "db2:2222", "10.0.0.1:22", "[fd00::1]:2200"}
	verdicts := map[string]int{}
	for seed := range uint64(40) {
		random := mathrand.New(mathrand.NewPCG(seed, 0))
		var content strings.Builder
		if seed%4 > 0 {
			content.WriteString(strings.Repeat("# a long file\n", indexed/14+1))
		}
		begin := content.Len()
		for range random.IntN(12) {
			name := knownhosts.Normalize(hosts[random.IntN(len(hosts))])
			switch random.IntN(8) {
			case 0, 1, 2:
				name = xknownhosts.HashHostname(name)
			case 3:
				name += "," + knownhosts.Normalize(hosts[random.IntN(len(hosts))])
			case 4:
				name = "db?," + name
			case 5:
				name = "db?,!" + name
			}
			line := name + " " + string(ssh.MarshalAuthorizedKey(keys[random.IntN(len(keys))]))
			switch random.IntN(12) {
			case 0:
				line = "@revoked " + line
			case 1:
				line = "@cert-authority " + line
			case 2:
				line = "# " + line
			}
			content.WriteString(line)
		}
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(content.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		library, err := knownhosts.NewDB(file)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := readKnownHosts([]string{file})
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			name, port, _ := net.SplitHostPort(host)
			target := transport.Target{Address: name, Port: map[string]int{"22": 0, "2222": 2222, "2200": 2200}[port]}
			for i, key := range keys {
				want := verdict(library.HostKeyCallback()(host, &net.TCPAddr{IP: net.IPv4zero}, key), nil)
				if got := verdict(ours.judgeKey(lookupName(target), key), ours.original); got != want {
					t.Errorf("seed %d, %s, key %d: %s, the library: %s\n%s", seed, host, i, got, want, content.String()[begin:])
				}
				word, _, _ := strings.Cut(want, " ")
				verdicts[word]++
			}
			if diff := gocmp.Diff(kinds(library.HostKeyAlgorithms(host)), kinds(plain(ours.algorithms(target)))); diff != "" && !strings.Contains(content.String(), "@cert") {
				t.Errorf("seed %d, %s: %s", seed, host, diff)
			}
		}
	}
	for _, word := range []string{"accepted", "unknown", "changed", "revoked"} {
		if verdicts[word] == 0 {
			t.Errorf("nothing was %s: %v", word, verdicts)
		}
	}
}

func kinds(algorithms []string) []string {
	slices.Sort(algorithms)
	return slices.Compact(algorithms)
}

// verdict writes what a check says, with the lines that it names.
func verdict(err error, original map[string]string) string {
	var revoked *xknownhosts.RevokedError
	var key *xknownhosts.KeyError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &revoked):
		return "revoked"
	case !errors.As(err, &key):
		return err.Error()
	case len(key.Want) == 0:
		return "unknown"
	}
	slices.SortFunc(key.Want, func(a, b xknownhosts.KnownKey) int { return cmp.Compare(a.Line, b.Line) })
	out := "changed"
	for _, w := range key.Want {
		out += fmt.Sprintf(" %s:%d", cmp.Or(original[w.Filename], w.Filename), w.Line)
	}
	return out
}

// TestHashedOnce: a name is hashed with each line once, and a line that is of one name is not tried with another.
func TestHashedOnce(t *testing.T) {
	var x index
	for i := range 10 {
		if !x.add([]string{xknownhosts.HashHostname(fmt.Sprintf("h%d", i/2))}, xknownhosts.KnownKey{Line: i}) {
			t.Fatal("not taken in")
		}
	}
	for i := range 5 {
		for range 3 {
			if found := x.keys(fmt.Sprintf("h%d:22", i)); len(found) != 2 {
				t.Errorf("h%d has %d lines", i, len(found))
			}
			if want := 10 - 2*(i+1); len(x.hashed) != want {
				t.Errorf("%d lines are left, not %d", len(x.hashed), want)
			}
		}
	}
}

// BenchmarkHashed is what one more host costs with 5,000 lines.
func BenchmarkHashed(b *testing.B) {
	var x index
	for i := range 5000 {
		x.add([]string{xknownhosts.HashHostname(fmt.Sprintf("h%d", i))}, xknownhosts.KnownKey{})
	}
	i := 0
	for b.Loop() {
		i++
		x.keys(fmt.Sprintf("other%d:22", i))
	}
}

// TestRecordMany: hosts that are in no line, in one, and twice in the list get one line each.
func TestRecordMany(t *testing.T) {
	for _, hash := range []bool{false, true} {
		keys := manyKeys(t, 5)
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte("# ours\nh3,other "+string(ssh.MarshalAuthorizedKey(keys[3].key))+"h9\trubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := AppendKnownHosts(file, append(keys, keys...), hash); err != nil {
				t.Fatal(err)
			}
			content, _ := os.ReadFile(file)
			if n := strings.Count(string(content), "ssh-ed25519"); n != 5 || !strings.Contains(string(content), "rubbish\n") {
				t.Errorf("hash %v: %d lines:\n%s", hash, n, content)
			}
		}
		other := manyKeys(t, 5)
		if err := AppendKnownHosts(file, other, hash); !errors.Is(err, ErrChangedKey) {
			t.Errorf("hash %v: other keys: %v", hash, err)
		}
	}
}

func manyKeys(t testing.TB, n int) []HostKey {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	var keys []HostKey
	for i := range n {
		keys = append(keys, HostKey{Name: fmt.Sprintf("h%d", i), Type: key.Type(), key: key})
	}
	return keys
}

// BenchmarkRecord records 1,000 hosts in a file that has none of them.
func BenchmarkRecord(b *testing.B) {
	keys := manyKeys(b, 1000)
	for b.Loop() {
		if err := AppendKnownHosts(filepath.Join(b.TempDir(), "known_hosts"), keys, false); err != nil {
			b.Fatal(err)
		}
	}
}
