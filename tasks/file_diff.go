package tasks

import (
	"bytes"

	"github.com/rogpeppe/go-internal/diff"
)

// diffText is the unified diff of a text before and after, "" when they are equal. Never call it with secret bytes.
func diffText(name, before, after string) string {
	out := diff.Diff("before", []byte(before), "after", []byte(after))
	if len(out) == 0 {
		return ""
	}
	// The first line repeats the command of diff; what the user wants to know is the file.
	if _, rest, ok := bytes.Cut(out, []byte("\n")); ok {
		out = rest
	}
	return "--- " + name + "\n+++ " + name + "\n" + string(afterHeader(out))
}

// afterHeader drops the two lines that name the files.
func afterHeader(out []byte) []byte {
	for range 2 {
		if _, rest, ok := bytes.Cut(out, []byte("\n")); ok {
			out = rest
		}
	}
	return out
}
