package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/lab"
	"github.com/pgfleet/pgfleet/lab/labtest"
)

// writable are the folders in which anybody or anything could have left a key on a host; what lies elsewhere is the machine's own.
const writable = "/etc /home /root /run /srv /tmp /var /opt /mnt /media /dev/shm"

// TestKeysStay runs the shipped playbook and looks for every private key that it made, by its content in several forms, on every other host, on the
// controller, and in everything that pgfleet said.
func TestKeysStay(t *testing.T) {
	t.Parallel()
	begin := time.Now().Add(-time.Second)
	f := newFleet(t, lab.Options{DB: 2, Client: 2})
	before := keysOf(t, f)
	here := t.TempDir()
	var said bytes.Buffer
	for _, args := range [][]string{{"run", shipped, "-v", "-D"}, {"run", shipped, "-o", "jsonl", "-v"}, {"verify", "-o", "json", "-v"},
		{"task", "certificate", "-l", "db1.example.net", "issuer=servers", "profile=server", "force=yes", "-v", "-D", "-o", "jsonl"}} {
		p := f.startIn(t, here, args...)
		if code := p.code(); code != 0 {
			t.Fatalf("%s: exit %d:\n%s", args, code, p.out.String())
		}
		said.Write(p.out.Bytes())
	}
	keys := keysOf(t, f)
	made := map[string]key{}
	for body, k := range keys {
		if _, old := before[body]; !old {
			made[body] = k
		}
	}
	expectMade(t, made)
	var all []needle
	for _, k := range made {
		all = append(all, k.needles(t)...)
	}
	for _, h := range f.lab.Hosts() {
		for _, found := range search(t, f, h.Short, all) {
			if found.needle.host != h.Short {
				t.Errorf("the key %s of %s is on %s: %s (as %s)", found.needle.path, found.needle.host, h.Short, found.where, found.needle.form)
			}
		}
	}
	for _, n := range all {
		if bytes.Contains(said.Bytes(), n.bytes) {
			t.Errorf("pgfleet printed the key %s of %s (as %s)", n.path, n.host, n.form)
		}
	}
	controller(t, f, all, here, begin)
}

// key is a private key in a file.
type key struct{ host, path, text string }

// expectMade sees that each host made what it needs, so that the search is for something.
func expectMade(t *testing.T, made map[string]key) {
	t.Helper()
	count := map[string]int{}
	for _, k := range made {
		count[k.host]++
	}
	for _, host := range []string{"ca1", "ca2", "ca3", "db1", "db2", "app1", "app2"} {
		if count[host] == 0 {
			t.Errorf("no key was made on %s", host)
		}
	}
	t.Logf("%d private keys: %v", len(made), count)
}

// keysOf gives every private key on every host, found by content, by its text without white space.
func keysOf(t *testing.T, f *fleet) map[string]key {
	t.Helper()
	keys := map[string]key{}
	for _, h := range f.lab.Hosts() {
		text := f.sh(t, h.Short, `grep -rlsI --devices=skip -e '-----BEGIN.* PRIVATE KEY-----' `+writable+` | while read -r path; do echo "== $path"; cat "$path"; done || :`)
		for _, file := range strings.Split("\n"+text, "\n== ")[1:] {
			path, body, _ := strings.Cut(file, "\n")
			for rest := []byte(body); ; {
				block, more := pem.Decode(rest)
				if block == nil {
					break
				}
				if rest = more; strings.HasSuffix(block.Type, "PRIVATE KEY") {
					keys[string(block.Bytes)] = key{h.Short, path, string(pem.EncodeToMemory(block))}
				}
			}
		}
	}
	return keys
}

// needle is one form of one key.
type needle struct {
	key
	form  string
	bytes []byte
}

// needles are the key's forms, each of them long enough to be found by chance never.
func (k key) needles(t *testing.T) []needle {
	block, _ := pem.Decode([]byte(k.text))
	// The secret itself lies in the middle: PKCS#8 begins with names of algorithms that all keys of a kind share, and ends with the public key.
	secret := block.Bytes[36:68]
	out := []needle{{k, "DER", secret}, {k, "hex", []byte(hex.EncodeToString(secret))}, {k, "HEX", []byte(strings.ToUpper(hex.EncodeToString(secret)))}}
	for shift := range 3 {
		// base64 of the same bytes reads differently at each offset; the outer characters mix with their neighbours.
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		out = append(out, needle{k, fmt.Sprint("base64, offset ", shift), []byte(text[4 : len(text)-4])})
	}
	for i, line := range strings.Split(strings.TrimSpace(k.text), "\n") {
		if i == 1 || len(line) < 60 && i > 1 && !strings.HasPrefix(line, "-") && len(line) > 20 {
			out = append(out, needle{k, fmt.Sprint("line ", i, " of PEM"), []byte(line)})
		}
	}
	return out
}

// hit is a needle that was found.
type hit struct {
	needle
	where string
}

// search reads every file that a host can have written, once, and follows no link.
func search(t *testing.T, f *fleet, host string, needles []needle) []hit {
	t.Helper()
	text := f.sh(t, host, `for d in `+writable+`; do [ -d "$d" ] || continue; find "$d" -xdev -type f -size -20000k ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/var/cache/*' ! -path '/var/lib/postgresql/15/*/base/*' -exec sh -c 'for p do printf "== %s\n" "$p"; cat -- "$p"; echo; done' sh {} +; done 2>/dev/null || :`)
	var found []hit
	for _, n := range needles {
		for at, rest := 0, text; ; {
			i := strings.Index(rest, string(n.bytes))
			if i < 0 {
				break
			}
			name := text[:at+i]
			name = name[strings.LastIndex(name, "\n== ")+4:]
			name, _, _ = strings.Cut(name, "\n")
			found = append(found, hit{n, name})
			at, rest = at+i+1, rest[i+1:]
		}
	}
	return found
}

// controller searches what pgfleet can have written on this machine: the lab's folder, where it ran, temporary files. The lab's own key, with which it logs in, is
// no key that the run made.
func controller(t *testing.T, f *fleet, needles []needle, temporary string, since time.Time) {
	t.Helper()
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, root := range []string{f.lab.Folder(), cwd, temporary, filepath.Join(os.Getenv("HOME"), ".config/pgfleet"), filepath.Join(os.Getenv("HOME"), ".cache/pgfleet"),
		filepath.Join(os.Getenv("HOME"), ".ssh"), "/tmp", "/var/tmp", "/dev/shm"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if info, err := d.Info(); err != nil || info.ModTime().Before(since) || info.Size() > 50<<20 {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			files++
			for _, n := range needles {
				if bytes.Contains(text, n.bytes) {
					t.Errorf("the key %s of %s is on the controller: %s (as %s)", n.path, n.host, path, n.form)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Error("no file of the controller was searched")
	}
}

// TestKeySearchFinds sees that the search above finds a key that was moved, in each form.
func TestKeySearchFinds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, lab.Options{Client: 1})
	labtest.Exec(t, f.lab, "ca1", "sh", "-ec", "mkdir /etc/pgfleet && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /etc/pgfleet/k")
	for _, k := range keysOf(t, f) {
		if k.path != "/etc/pgfleet/k" {
			continue
		}
		block, _ := pem.Decode([]byte(k.text))
		forms := map[string]string{"pem": k.text, "der": string(block.Bytes), "hex": hex.EncodeToString(block.Bytes), "one-line": base64.StdEncoding.EncodeToString(block.Bytes),
			"inside": base64.StdEncoding.EncodeToString(append([]byte("x"), block.Bytes...))}
		for name, text := range forms {
			labtest.Feed(t, f.lab, "app1", text, "sh", "-ec", `cat >/var/tmp/"$1"`, "sh", name)
		}
		found := map[string]bool{}
		for _, h := range search(t, f, "app1", k.needles(t)) {
			found[filepath.Base(h.where)] = true
		}
		if len(found) != len(forms) {
			t.Errorf("found in %v, want all of %d", found, len(forms))
		}
		return
	}
	t.Error("the key is not found where it was made")
}
