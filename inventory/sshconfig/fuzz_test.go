package sshconfig

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig: any text gives answers or mistakes, never a panic or an endless loop, and a port that can be dialled.
func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "a")
	}
	f.Add("=foo\nHost\n Match\nMatch =\nHost \"", "x")
	f.Fuzz(func(t *testing.T, text, host string) {
		p := &parser{home: "/nonexistent", user: true}
		c := &Config{home: "/nonexistent", localUser: "me"}
		c.files = []*file{p.parse("f", text, maxDepth)}
		a := c.Resolve(Query{Host: host})
		if a.Port < 1 || a.Port > 65535 || a.User == "" {
			t.Fatalf("port %d, user %q", a.Port, a.User)
		}
		a.Jumps()
		a.Agent()
		a.Command()
		a.Bool("identitiesonly")
		a.Duration("connecttimeout")
		a.Paths("identityfile")
	})
}

// FuzzPattern: a pattern fits itself where it has no special signs, and * fits everything.
func FuzzPattern(f *testing.F) {
	f.Add("db1.example.net", "*.example.*")
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "*a*a*a*a*a*b")
	f.Fuzz(func(t *testing.T, text, pattern string) {
		if !matchPattern(text, "*") || !matchPattern(text, text) {
			t.Fatalf("%q does not fit itself", text)
		}
		if matchPattern(text, pattern) && !matchPattern(text+"x", pattern+"*") {
			t.Fatalf("%q fits %q, but with something behind it does not fit %q", text, pattern, pattern+"*")
		}
	})
}
