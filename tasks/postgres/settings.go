// Package postgres reads and writes PostgreSQL's configuration files: postgresql.conf, pg_hba.conf and pg_ident.conf. Pure functions on bytes:
// no connection, no file. What a user wrote is never changed, only what stands between pgfleet's own marks.
package postgres

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
)

// Assignment is one "name = value" line of a postgresql.conf, or an include directive (Name is then include, include_if_exists or include_dir).
type Assignment struct {
	// Name is in lower case, as PostgreSQL compares it. Value is without quotes.
	Name, Value string
	// Line counts from 1.
	Line int
}

// SyntaxError is a line that PostgreSQL would not accept.
type SyntaxError struct {
	Line int
	Text string
}

// Error gives the line and what is wrong there.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// ReadConfig gives the assignments and includes of a postgresql.conf in order, as guc-file.l of PostgreSQL 12 to 18 reads it: the equal sign is
// optional, values are quoted (” and \' stand for a quote), # starts a comment. The first broken line ends the reading with a *SyntaxError; what stands before it
// is returned too.
func ReadConfig(text []byte) ([]Assignment, error) {
	var out []Assignment
	for i, line := range bytes.Split(text, []byte("\n")) {
		a, ok, err := readLine(string(line))
		if err != nil {
			return out, &SyntaxError{Line: i + 1, Text: err.Error()}
		}
		if ok {
			a.Line = i + 1
			out = append(out, a)
		}
	}
	return out, nil
}

// readLine reads one line; ok is false for an empty one.
func readLine(line string) (a Assignment, ok bool, err error) {
	rest := strings.TrimLeft(line, " \t\r\f\v")
	if rest == "" || rest[0] == '#' {
		return a, false, nil
	}
	n := 0
	for n < len(rest) && isNameByte(rest[n], n == 0) {
		n++
	}
	if n == 0 {
		return a, false, fmt.Errorf("no setting's name at %q", clip(rest))
	}
	a.Name = strings.ToLower(rest[:n])
	rest = strings.TrimLeft(rest[n:], " \t\r\f\v")
	if strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], " \t\r\f\v")
	}
	a.Value, rest, err = readValue(rest)
	if err != nil {
		return a, false, fmt.Errorf("%s: %w", a.Name, err)
	}
	rest = strings.TrimLeft(rest, " \t\r\f\v")
	if rest != "" && rest[0] != '#' {
		return a, false, fmt.Errorf("%s: %q follows the value; values with blanks need quotes", a.Name, clip(rest))
	}
	return a, true, nil
}

// isNameByte tells whether b may stand in a setting's name (the dot joins an extension's name).
func isNameByte(b byte, first bool) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_', b >= 0x80:
		return true
	case first:
		return false
	}
	return b >= '0' && b <= '9' || b == '$' || b == '.'
}

// readValue takes a quoted or bare value from the start of text.
func readValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, "'") {
		n := strings.IndexAny(text, " \t\r\f\v#'=")
		if n < 0 {
			n = len(text)
		}
		if n == 0 {
			return "", text, fmt.Errorf("has no value")
		}
		return text[:n], text[n:], nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i = unescape(&b, text, i+1)
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case text[i] == '\'':
			return b.String(), text[i+1:], nil
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", fmt.Errorf("the quote is not closed on its line")
}

// unescape writes what the backslash sequence at text[i:] stands for and gives the index of its last byte.
func unescape(b *strings.Builder, text string, i int) int {
	switch c := text[i]; c {
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case '0', '1', '2', '3', '4', '5', '6', '7':
		n, last := 0, i
		for k := i; k < len(text) && k < i+3 && text[k] >= '0' && text[k] <= '7'; k++ {
			n, last = n<<3+int(text[k]-'0'), k
		}
		b.WriteByte(byte(n))
		return last
	default:
		b.WriteByte(c)
	}
	return i
}

// clip shortens text for a message.
func clip(text string) string {
	if len(text) > 40 {
		return text[:40] + "…"
	}
	return text
}

// QuoteValue writes a value as it may stand in postgresql.conf, always in quotes. A line break cannot stand in a value: it is written as \n.
func QuoteValue(value string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(value) + "'"
}

// RenderSettings writes a whole settings file of ours: a heading and one line a setting, by name.
func RenderSettings(set map[string]string) []byte {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	b.WriteString("# Written by pgfleet; changes made here are lost. postgresql.conf includes this file last.\n")
	for _, name := range names {
		fmt.Fprintf(&b, "%s = %s\n", name, QuoteValue(set[name]))
	}
	return b.Bytes()
}

// SettingsOf gives name to value of a settings file that has no includes, the last line of a name winning.
func SettingsOf(text []byte) (map[string]string, error) {
	list, err := ReadConfig(text)
	out := map[string]string{}
	for _, a := range list {
		out[a.Name] = a.Value
	}
	return out, err
}

// IsInclude tells whether a name is one of the include directives.
func IsInclude(name string) bool {
	return name == "include" || name == "include_if_exists" || name == "include_dir"
}
