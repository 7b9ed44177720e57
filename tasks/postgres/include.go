package postgres

import (
	"bytes"
	"strings"
)

// IncludeMark ends the line of ours in a postgresql.conf, so that it can be found again.
const IncludeMark = "# pgfleet: keep this line last"

// IncludeLine is the line that makes postgresql.conf read our settings file.
func IncludeLine(path string) string { return "include " + QuoteValue(path) + " " + IncludeMark }

// IncludeIfExistsLine is IncludeLine for a configuration that is copied to hosts where that file is not there yet.
func IncludeIfExistsLine(path string) string {
	return "include_if_exists " + QuoteValue(path) + " " + IncludeMark
}

// Includes tells whether a postgresql.conf includes our settings file, and lists the assignments and includes that stand after it and may override it.
func Includes(config []byte, path string) (found bool, after []Assignment) {
	list, _ := ReadConfig(config)
	for _, a := range list {
		switch {
		case (a.Name == "include" || a.Name == "include_if_exists") && a.Value == path:
			found, after = true, nil
		case found:
			after = append(after, a)
		}
	}
	return found, after
}

// WithInclude gives a postgresql.conf that includes our settings file as its last line: a line of ours elsewhere is removed, every other byte stays, a line break
// is added first where the last line lacks one.
func WithInclude(config []byte, path string) []byte {
	line := IncludeLine(path)
	var b bytes.Buffer
	for _, l := range bytes.SplitAfter(config, []byte("\n")) {
		if strings.TrimRight(string(l), "\r\n") != line {
			b.Write(l)
		}
	}
	if b.Len() > 0 && b.Bytes()[b.Len()-1] != '\n' {
		b.WriteByte('\n')
	}
	b.WriteString(line + "\n")
	return b.Bytes()
}
