package tasks

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLookAtBlock: our lines in somebody else's file, in every shell, read by the shell or by awk. Nothing else of the file is shown but headings.
func TestLookAtBlock(t *testing.T) {
	const first, last = "# BEGIN pgfleet", "# END pgfleet"
	const ours = first + "\n10.0.0.1 db1 \\n  \t\n[db1]\n" + last + "\n"
	long := strings.Repeat("# password=secret\n", 200)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(at(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	awk, err := exec.LookPath("awk")
	if _, noProc := os.Stat("/proc/self"); err != nil || noProc != nil {
		t.Skip("no awk here, or no Linux")
	}
	write("awk", "#!/bin/sh\necho called >>"+at("calls")+"\nexec "+awk+" \"$@\"\n", 0o755)
	pem := pemText("CERTIFICATE", []byte("some bytes"))
	write("some.pem", "secret=1\n"+pem, 0o600)
	shells := slices.DeleteFunc([][]string{{"sh"}, {"bash", "--posix"}, {"busybox", "ash"}}, func(words []string) bool {
		_, err := exec.LookPath(words[0])
		return err != nil
	})
	for _, c := range []struct {
		name, text, block, markers string
		others                     []string
		awk                        bool // where no other file needs it
	}{
		{"empty", "", "", "", nil, false},
		{"another's", "password=secret\n", "", "", nil, false},
		{"block", "secret\n" + ours + "secret\n", ours, "be", nil, false},
		{"unended line", "secret\n" + strings.TrimSuffix(ours, "\n"), ours, "be", nil, false},
		{"headings", "secret\n \t[one]\n[two] \n" + ours + "#[secret]\n[three]\nx [secret]", ours, "be", []string{"one", "two", "three"}, false},
		{"wrong order", last + "\nsecret\n" + first + "\nx\n", first + "\nx\n", "eb", nil, false},
		{"two", ours + "secret\n" + ours, ours + ours, "bebe", nil, false},
		{"begun twice", first + "\n" + ours, first + "\n" + ours, "bbe", nil, false},
		{"like a marker", first + " \n" + last + "x\n(\n!\n-n\n", "", "", nil, false},
		{"long", long + ours + long, ours, "be", nil, true},
		{"longer", strings.Repeat(long, 4) + ours, ours, "be", nil, true},
		{"link", ours, ours, "be", nil, true},
	} {
		write("file", c.text, 0o600)
		path := at("file")
		if c.name == "link" {
			path = at("link")
			if err := os.Symlink("file", path); err != nil {
				t.Fatal(err)
			}
		}
		for _, shell := range shells {
			for _, with := range []string{"", at("some.pem")} {
				how := fmt.Sprintf("%s, %v, with %q", c.name, shell, with)
				_ = os.Remove(at("calls"))
				words := slices.Concat(shell[1:], []string{"-c", certificateLookProgram + "entry \"$1\"\n[ -z \"$4\" ] || entry \"$4\" pem\nblock \"$1\" \"$2\" \"$3\"\nfacts\necho done", "sh", path, first, last, with})
				cmd := exec.Command(shell[0], words...)
				cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "PGFLEET_UID=0"}
				if shell[0] == "busybox" && with == "" && c.awk {
					cmd.Env[0] = "PATH=/usr/bin:/bin" // with its own awk, where it has one
				}
				out, err := cmd.Output()
				if err != nil {
					t.Fatal(how, err)
				}
				l, err := parseLook(out)
				if err != nil {
					t.Fatal(how, err, string(out))
				}
				if l.Block != c.block || l.Markers != c.markers || !slices.Equal(l.Others, c.others) {
					t.Errorf("%s: block %q, markers %q, others %q", how, l.Block, l.Markers, l.Others)
				}
				if with != "" && string(l.entry(with).PEM) != pem {
					t.Errorf("%s: %q of %s", how, l.entry(with).PEM, with)
				}
				if strings.Contains(string(out), "secret") {
					t.Errorf("%s: shows %s", how, out)
				}
				if now := time.Since(l.Time); now < -2*time.Second || now > 20*time.Second {
					t.Errorf("%s: the time is %s", how, l.Time)
				}
				if calls, _ := os.ReadFile(at("calls")); shell[0] != "busybox" && strings.Count(string(calls), "\n") != map[bool]int{true: 1}[with != "" || c.awk] {
					t.Errorf("%s: awk was called: %q", how, calls)
				}
			}
		}
	}
}
