package pki

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

func TestParseSubject(t *testing.T) {
	file, err := os.Open("testdata/subjects.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		in, want, ok := strings.Cut(lines.Text(), " -> ")
		if !ok {
			t.Fatalf("line %d has no arrow", n)
		}
		name, err := ParseSubject(in)
		if part, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: error %v, wanted %q", in, err, part)
			}
			continue
		}
		if err != nil || FormatSubject(name) != want {
			t.Errorf("%q: %q (%v), wanted %q", in, FormatSubject(name), err, want)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"CN=root-ca1,O=Example", `CN=a\,b`, "C=DE", `CN=\ x\ `, "CN=a\x00b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name, err := ParseSubject(in)
		if err != nil {
			return
		}
		text := FormatSubject(name)
		again, err := ParseSubject(text)
		if err != nil || FormatSubject(again) != text {
			t.Fatalf("%q became %q, which is read as %q (%v)", in, text, FormatSubject(again), err)
		}
		if strings.ContainsAny(OnelineSubject(name), "\t\n\x00") {
			t.Fatalf("%q breaks index.txt: %q", in, OnelineSubject(name))
		}
	})
}

func FuzzParseSerial(f *testing.F) {
	for _, s := range []string{"01", "0x0A", "aa:bb", "", "0", "-1", "123"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := ParseSerial(in)
		if err != nil {
			return
		}
		text := FormatSerial(n)
		again, err := ParseSerial(text)
		if err != nil || again.Cmp(n) != 0 || len(text)%2 != 0 || n.Sign() <= 0 {
			t.Fatalf("%q became %q", in, text)
		}
	})
}

func TestNewSerial(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		n, err := NewSerial(nil)
		if err != nil {
			t.Fatal(err)
		}
		text := FormatSerial(n)
		if len(text) != 32 || seen[text] || n.Bit(127) != 0 {
			t.Fatalf("serial number %s", text)
		}
		seen[text] = true
	}
	if _, err := NewSerial(strings.NewReader("short")); err == nil {
		t.Error("a source that ends is not noticed")
	}
}
