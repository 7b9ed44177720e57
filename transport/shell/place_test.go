package shell

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgfleet/pgfleet/transport"
)

// TestPlaceOrder: complete files are synced, all of them, before the first is put in place, and each folder after its last.
func TestPlaceOrder(t *testing.T) {
	for _, shell := range []string{"dash", "bash"} {
		dir, tools := t.TempDir(), t.TempDir()
		log := filepath.Join(tools, "log")
		for _, name := range []string{"sync", "mv"} {
			script := "#!/bin/sh\nfor a; do [ \"$a\" = -- ] || [ \"$a\" = -f ] || [ \"$a\" = -T ] || printf ' %s' \"${a##*/}\"; done | sed 's/^/" + name + "/' >>\"$LOG\"\necho >>\"$LOG\"\nexec \"$REAL/" + name + "\" \"$@\"\n"
			if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var writes []transport.Step
		var temps []string
		for _, name := range []string{"a b", "c", "sub/d"} {
			path := filepath.Join(dir, name)
			temp := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(temp, []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
			writes, temps = append(writes, transport.Step{Write: &transport.FileMeta{Path: path}, Limit: time.Minute}), append(temps, temp)
		}
		step := Place(writes, temps)
		words := append([]string{shell, "-c", step.Shell, "sh"}, step.Argv...)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "LOG="+log, "REAL=/bin")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "3\n" {
			t.Errorf("%s: %q %v", shell, out, err)
		}
		got, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		top := filepath.Base(dir)
		want := "sync .new-a b .new-c .new-d\nmv .new-a b a b\nmv .new-c c\nsync " + top + "\nmv .new-d d\nsync sub\n"
		if string(got) != want {
			t.Errorf("%s:\n%s\nwant\n%s", shell, got, want)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "sub/d")); err != nil || string(text) != "sub/d" {
			t.Errorf("%s: %q %v", shell, text, err)
		}
	}
}
