package cmd

import (
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 30))
	got := wrap("first line\nsecond line\n\n"+long+"\n  kept  as it is\n- an item\n- another", "  ")
	want := "  first line second line\n\n  " + strings.TrimSpace(strings.Repeat("word ", 19)) + "\n  " + strings.TrimSpace(strings.Repeat("word ", 11)) +
		"\n    kept  as it is\n  - an item\n  - another\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := wrap(strings.Repeat("x", 200), ""); got != strings.Repeat("x", 200)+"\n" {
		t.Errorf("a long word: %q", got)
	}
}
