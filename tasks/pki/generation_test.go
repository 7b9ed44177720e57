package pki

import (
	"slices"
	"testing"
)

func TestGenerations(t *testing.T) {
	declared := map[string]Authority{}
	for name, replaces := range map[string]string{"old": "", "new": "old", "third": "second", "fourth": "third", "ring1": "ring2", "ring2": "ring1"} {
		declared[name] = Authority{Name: name, Replaces: replaces}
	}
	for name, want := range map[string][]string{
		"old": {"old", "new"}, "new": {"new"}, "second": {"third", "fourth"}, "third": {"third", "fourth"}, "nobody": nil, "": nil,
	} {
		if got := Generations(declared, name); !slices.Equal(got, want) {
			t.Errorf("%q means %q, want %q", name, got, want)
		}
	}
	if got := Generations(declared, "ring1"); len(got) > len(declared)+1 {
		t.Errorf("a ring gives %q", got)
	}
	for name, want := range map[string]string{"old": "old", "new": "old", "fourth": "second", "nobody": "nobody"} {
		if got := Line(declared, name); got != want {
			t.Errorf("%q is of the line %q, want %q", name, got, want)
		}
	}
}
