package inventory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: any text gives an inventory or problems, never a panic, and never both.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := Parse("f", data, hermetic)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 || inv != nil {
				t.Fatalf("error of type %T, inventory %v", err, inv)
			}
			return
		}
		seen := map[string]bool{}
		for _, h := range inv.Hosts {
			name := strings.ToLower(h.Name)
			if seen[name] || h.Target.Address == "" || h.Target.Port == 0 {
				t.Fatalf("host %+v", h)
			}
			seen[name] = true
			if got, ok := inv.Host(h.Name); !ok || got != h {
				t.Fatalf("%s is not found by its name", h.Name)
			}
			for _, s := range h.ConnectsTo {
				if server, ok := inv.Host(s); !ok || !server.HasRole("db_server") {
					t.Fatalf("%s connects to %s", h.Name, s)
				}
			}
		}
		for name, a := range inv.Authorities {
			if _, ok := inv.Host(a.Host); !ok && a.Host != "" {
				t.Fatalf("authority %s has no host", name)
			}
		}
	})
}

// FuzzExpand: the number of texts is bounded, and text without brackets stays as it is.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"db[01:03]", "[a:c]x[1,2]", "db", "[fd00::1]", "a[1:9:2", "[1:20000][1:2]", "]["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := Expand(text)
		if err == nil && (len(out) == 0 || len(out) > maxHosts) {
			t.Fatalf("%q gives %d texts", text, len(out))
		}
		if !strings.ContainsAny(text, "[]") && (err != nil || len(out) != 1 || out[0] != text) {
			t.Fatalf("%q gives %q, %v", text, out, err)
		}
	})
}

// FuzzSelect: what a pattern means is in inventory order and without repeats; taken away from itself nothing is left.
func FuzzSelect(f *testing.F) {
	data, err := os.ReadFile("testdata/select.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		pattern, _, _ := strings.Cut(line, " => ")
		f.Add(pattern)
	}
	inv := load(f, "testdata/select.yaml")
	place := map[*Host]int{}
	for i, h := range inv.Hosts {
		place[h] = i
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		hosts, err := inv.Select(pattern)
		if err != nil {
			return
		}
		for i := 1; i < len(hosts); i++ {
			if place[hosts[i-1]] >= place[hosts[i]] {
				t.Fatalf("%q: out of order", pattern)
			}
		}
		again, err := inv.Select(pattern + ",&all")
		if err != nil || fmt.Sprint(labels(again)) != fmt.Sprint(labels(hosts)) {
			t.Fatalf("%q: %v, with &all %v, %v", pattern, labels(hosts), labels(again), err)
		}
	})
}

// FuzzParseHop: what is accepted reads the same when written again, and can never look like an option.
func FuzzParseHop(f *testing.F) {
	for _, s := range []string{"ops@gate:22", "[fd00::1]:22", "fd00::1", "ssh://a%40b@gate/", "-x", "a@b@c:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHop(text)
		if err != nil {
			return
		}
		if strings.HasPrefix(h.user, "-") || strings.HasPrefix(h.host, "-") || h.host == "" {
			t.Fatalf("%q gives %+v", text, h)
		}
		again, err := parseHop(h.String())
		if err != nil || again != h {
			t.Fatalf("%q gives %+v, again %+v, %v", text, h, again, err)
		}
	})
}
