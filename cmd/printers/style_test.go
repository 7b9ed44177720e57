package printers

import "testing"

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"one":                                    "one",
		"first\nsecond\n":                        "first; second",
		"these:\n  a, b\n  c, d\ndo this":        "these: a, b; c, d; do this",
		"these:\r\n\tx\n":                        "these: x",
		"\n":                                     "",
		"evil \x1b[31m:\n  next\u202e\nand on\n": `evil \x1b[31m: next\u202e; and on`,
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
