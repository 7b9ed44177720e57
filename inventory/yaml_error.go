package inventory

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// NotYAML says why data, an inventory or a playbook, is not YAML, from the error of the library; the line is 0 where none is known. For bytes that are no text
// the library names no line: they are looked for.
func NotYAML(data []byte, err error) (line int, text string) {
	line, text = yamlError(err)
	if at, what := strangeByte(data); at >= 0 && (strings.Contains(text, "UTF-8 octet") || strings.Contains(text, "control characters")) {
		return 1 + bytes.Count(data[:at], []byte("\n")), what
	}
	lines := bytes.Split(data, []byte("\n"))
	if line > 0 && line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[line-1], " "), []byte("\t")) {
		text += " (it is indented with a tab, where YAML wants blanks)"
	}
	return line, text
}

// yamlError takes the line out of the library's text ("yaml: line 3: did not find …").
func yamlError(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, tail, found := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); found && err == nil {
			return n, tail
		}
	}
	return 0, text
}

// strangeByte finds the first byte that cannot be in a text file, and what it is; -1: there is none.
func strangeByte(data []byte) (at int, what string) {
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return at, fmt.Sprintf("the byte 0x%02X is not UTF-8; iconv -f latin1 -t utf-8 makes it that, where it is Latin-1", data[at])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return at, fmt.Sprintf("the control character 0x%02X is not allowed", r)
		}
		at += size
	}
	return -1, ""
}
