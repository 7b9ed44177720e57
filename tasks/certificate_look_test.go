package tasks

import (
	"strings"
	"testing"
)

func FuzzParseLook(f *testing.F) {
	f.Add([]byte("uid 0\nentry file /x\nmeta a b 600 1 0 5 7:1.5 /x\npub /x\n|---\nentry absent /y\nlisted /z\nresolved a 1.2.3.4\ndone\n"))
	f.Add([]byte("entry link /x\nlink /x\n|/etc\nencrypted /x\nmarkers be\nblock\n|[a]\nothers\n|[b]\nmeta a b 777 1 0 5 7:1.5 /x\ndone\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		l, err := parseLook(out)
		if err != nil {
			return
		}
		for _, p := range l.Paths {
			e := l.entry(p)
			if e.Path != p || strings.Contains(string(e.PEM)+e.Text+e.Public, "PRIVATE KEY") {
				t.Fatalf("%+v", e)
			}
			e.certificates()
			e.spki()
		}
		parseServices(l.Block)
	})
}

func FuzzServices(f *testing.F) {
	f.Add("[a@b]\nhost=x\nport=1\n", "role")
	f.Add("# [x]\n[y]\nsslcert = z\n[", "a b")
	f.Fuzz(func(t *testing.T, block, user string) {
		parseServices(block)
		id := Identity{OSUser: "app", DBUser: user}
		if checkIdentity(id) != nil {
			return
		}
		name := folderName(user)
		if name == "" || strings.ContainsAny(name, "/\n") || name == "." || name == ".." || strings.HasPrefix(name, "-") {
			t.Fatalf("%q has folder %q", user, name)
		}
		st := &identityState{look: &look{Home: "/home/app"}, ID: id}
		text, err := serviceBlock(st, []Service{{Name: user + "@db1", DBUser: user, Host: "db1", Port: 5432, Files: ServiceFiles{Root: "/r"}}})
		if err != nil {
			return
		}
		got := parseServices(text)[user+"@db1"]
		if got["user"] != user || got["host"] != "db1" || got["port"] != "5432" || got["sslrootcert"] != "/r" {
			t.Fatalf("%q came back as %v", user, got)
		}
	})
}

// What was cut off, or was not looked at, never reads as absent.
func TestLookNeedsEvidence(t *testing.T) {
	const whole = "entry dir /a\nentry absent /a/b\nlisted /c\nentry dir /c/d\nentry file /c/e\nmeta a a 755 1 0 5 7:1.5 /a\nmeta a a 755 1 0 5 7:1.5 /c/d\ndone\n"
	for n := range len(whole) - 1 {
		if _, err := parseLook([]byte(whole[:n])); err == nil {
			t.Errorf("cut after %d bytes: no error", n)
		}
	}
	l, err := parseLook([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/a": "dir", "/a/b": "absent", "/a/b/c/d": "absent", "/a/x": "unknown", "/c/x": "absent", "/c/x/y": "absent", "/c/d/e": "unknown", "/c/e": "unknown", "/": "unknown", "": "unknown"} {
		if got := l.entry(path).Kind; got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
