package ssh

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/pgfleet/pgfleet/transport"
)

func TestHostKeys(t *testing.T) {
	s := newServer(t)
	ed := strings.TrimSpace(s.ReadFile("/etc/ssh/ssh_host_ed25519_key.pub"))
	ec := strings.TrimSpace(s.ReadFile("/etc/ssh/ssh_host_ecdsa_key.pub"))
	other := writeKey(t, filepath.Join(t.TempDir(), "other"), "")
	rsa := s.Shell(`ssh-keygen -q -t rsa -b 2048 -N "" -f /root/k && cat /root/k.pub`)
	shown, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ed))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := ssh.FingerprintSHA256(shown)
	hashed := knownhosts.HashHostname("10.0.0.1")
	for _, c := range []struct {
		name, known            string
		port                   int
		alias                  string
		good, changed, revoked bool
	}{
		{name: "recorded", known: "10.0.0.1 " + ed, good: true},
		{name: "only ECDSA is recorded", known: "10.0.0.1 " + ec, good: true},
		{name: "hashed", known: hashed + " " + ed, good: true},
		{name: "pattern", known: "10.0.0.* " + ed, good: true},
		{name: "negated", known: "10.0.0.*,!10.0.0.1 " + ed},
		{name: "alias", known: "THE-host,the-host " + ed, alias: "The-Host", port: 2222, good: true},
		{name: "alias instead of address", known: "10.0.0.1 " + ed, alias: "the-host"},
		{name: "port", known: "[10.0.0.1]:2222 " + ed, port: 2222, good: true},
		{name: "other port", known: "[10.0.0.1]:2223 " + ed, port: 2222},
		{name: "nothing", known: ""},
		{name: "other host", known: "10.0.0.2 " + ed},
		{name: "changed", known: "10.0.0.1 " + other, changed: true},
		{name: "changed, hashed", known: hashed + " " + other, changed: true},
		{name: "the first of two is shown", known: "10.0.0.1 " + ec + "\n10.0.0.1 " + other, good: true},
		{name: "recorded kinds are gone", known: "10.0.0.1 " + rsa, changed: true},
		{name: "authority, but no certificate", known: "@cert-authority * " + other, changed: true},
		{name: "revoked", known: "10.0.0.1 " + ed + "\n@revoked * " + ed, revoked: true},
		{name: "lines that cannot be read", known: "rubbish\n10.0.0.1 ssh-unknown AAAA\n# comment\n10.0.0.1 " + ed, good: true},
		{name: "changed below rubbish", known: "rubbish\n10.0.0.1 " + other, changed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := s.target
			target.Port, target.HostKeyAlias = c.port, c.alias
			if err := os.WriteFile(s.known, []byte(c.known+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := s.try(t, target, Options{Dialer: s.dial22})
			if c.good {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			texts := []string{"SHA256:"}
			switch {
			case c.changed:
				texts = append(texts, "pgfleet trust --replace host1")
			case !c.revoked:
				texts = append(texts, "pgfleet trust host1")
			}
			fails(t, c.name, err, transport.ErrHostKey, texts...)
			var e *HostKeyError
			if !errors.As(err, &e) || e.Changed != c.changed || e.Revoked != c.revoked || e.Host != "host1" {
				t.Fatalf("got %+v", e)
			}
			if !c.changed && e.Fingerprint != fingerprint && e.Type == "ssh-ed25519" {
				t.Errorf("fingerprint %s, want %s", e.Fingerprint, fingerprint)
			}
			if c.changed && e.Type != "" && (e.Known[len(e.Known)-1].File != s.known || e.Known[len(e.Known)-1].Line != strings.Count(c.known, "\n")+1) {
				t.Errorf("recorded: %+v", e.Known)
			}
		})
	}
}

// reloadSSHD has sshd read its configuration anew and waits until another socket listens than before: until then the old one answers, and resets.
const reloadSSHD = `socket() { awk '$2 ~ /:0016$/ && $4 == "0A" { print $10; exit }' /proc/net/tcp; }
old=$(socket)
kill -HUP "$(cat /run/sshd.pid)"
for i in $(seq 600); do
	new=$(socket)
	[ -n "$new" ] && [ "$new" != "$old" ] && exit 0
	sleep 0.05
done
echo "sshd did not come back" >&2
exit 1`

// TestHostCertificates: an authority of one type certifies host keys of another.
func TestHostCertificates(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	writeKey(t, dir+"/ca", "")
	pem, _ := os.ReadFile(dir + "/ca")
	ca, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	certify := func(principal string) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.ReadFile("/etc/ssh/ssh_host_ecdsa_key.pub")))
		if err != nil {
			t.Fatal(err)
		}
		cert := &ssh.Certificate{Key: key, CertType: ssh.HostCert, ValidPrincipals: []string{principal}, ValidBefore: ssh.CertTimeInfinity}
		if err := cert.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		s.WriteFile("/etc/ssh/cert.pub", string(ssh.MarshalAuthorizedKey(cert)), 0o644)
		s.Shell(`grep -q ^HostCert /etc/ssh/sshd_config || sed -i "1iHostKey /etc/ssh/ssh_host_ecdsa_key\nHostCertificate /etc/ssh/cert.pub" /etc/ssh/sshd_config`)
		s.Shell(reloadSSHD)
		s.listening()
	}
	line := "@cert-authority 10.0.0.* " + string(ssh.MarshalAuthorizedKey(ca.PublicKey()))
	if err := os.WriteFile(s.known, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	certify("10.0.0.1")
	if err := s.try(t, s.target, Options{}); err != nil {
		t.Errorf("certified: %v", err)
	}
	certify("another.example.net")
	fails(t, "certified for another", s.try(t, s.target, Options{}), transport.ErrHostKey, "another.example.net")
	// Revoked: the authority, or the key that it certifies.
	for _, key := range []string{string(ssh.MarshalAuthorizedKey(ca.PublicKey())), s.ReadFile("/etc/ssh/ssh_host_ecdsa_key.pub")} {
		if err := os.WriteFile(s.known, []byte(line+"@revoked * "+key), 0o600); err != nil {
			t.Fatal(err)
		}
		var e *HostKeyError
		if err := s.try(t, s.target, Options{}); !errors.As(err, &e) || !e.Revoked {
			t.Errorf("revoked: %v", err)
		}
	}
}

func TestTrust(t *testing.T) {
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "deep", "known_hosts")
	target := s.target
	target.KnownHosts = []string{file}
	pool := NewPool(s.options())
	defer pool.Close()
	keys, err := ScanHostKeys(t.Context(), target, pool)
	if err != nil || len(keys) != 2 || keys[0].Type != "ssh-ed25519" || keys[1].Type != "ecdsa-sha2-nistp256" || keys[0].Known {
		t.Fatalf("%+v %v", keys, err)
	}
	if want := s.Shell(`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d" " -f2`); keys[0].Fingerprint != want {
		t.Errorf("fingerprint %s, want %s", keys[0].Fingerprint, want)
	}
	for _, hash := range []bool{false, true} {
		os.Remove(file)
		for range 2 {
			if err := AppendKnownHosts(file, keys, hash); err != nil {
				t.Fatal(err)
			}
		}
		content, _ := os.ReadFile(file)
		if strings.Count(string(content), "\n") != 2 || strings.Contains(string(content), "10.0.0.1") == hash {
			t.Errorf("hash %v: %s", hash, content)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		if err := s.try(t, target, Options{}); err != nil {
			t.Errorf("after recording: %v", err)
		}
		again, err := ScanHostKeys(t.Context(), target, NewPool(s.options()))
		if err != nil || !again[0].Known || again[0].Changed {
			t.Errorf("scanned again: %+v %v", again, err)
		}
	}
	testReplace(t, file, keys)
	if log := s.ReadFile("/run/sshd.log"); strings.Contains(log, "Failed") || strings.Contains(log, "Invalid user") {
		t.Errorf("a scan tried to log in: %s", log)
	}
}

func testReplace(t *testing.T, file string, keys []HostKey) {
	dir := t.TempDir()
	other := writeKey(t, dir+"/other", "")
	before := "# comment\n10.0.0.1,db1 " + other + "\n" + knownhosts.HashHostname("10.0.0.1") + " " + other + "\n@cert-authority 10.0.0.1 " + other + "\nrubbish"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := AppendKnownHosts(file, keys, false); !errors.Is(err, ErrChangedKey) || !strings.Contains(err.Error(), ":2") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(file); string(after) != before {
		t.Errorf("the file changed: %s", after)
	}
	if err := ReplaceKnownHosts(file, keys[:1], false); err != nil {
		t.Fatal(err)
	}
	want := "# comment\ndb1 " + other + "\n@cert-authority 10.0.0.1 " + other + "\nrubbish\n10.0.0.1 ssh-ed25519 "
	if after, _ := os.ReadFile(file); !strings.HasPrefix(string(after), want) {
		t.Errorf("got %s", after)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := AppendKnownHosts(link, keys, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
}

func FuzzWithKey(f *testing.F) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8YvhK0eXqC5aK9kqU0t8Q2jz3kW1o0yX7bE0T3hXkP"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("10.0.0.1 ssh-ed25519 AAAA\n"), true)
	f.Add([]byte("|1|x|y z\n,, ,\n\n \n"), false)
	f.Fuzz(func(t *testing.T, content []byte, replace bool) {
		k := HostKey{Name: "h", Type: key.Type(), key: key}
		once, err := withKey(content, "f", k, false, replace)
		if err != nil {
			return
		}
		twice, err := withKey(once, "f", k, false, false)
		if err != nil || string(twice) != string(once) {
			t.Errorf("recording again changes %q to %q (%v)", once, twice, err)
		}
	})
}
