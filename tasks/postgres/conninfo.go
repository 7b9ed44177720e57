package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// ConnInfo is a connection string in keyword form (PostgreSQL 17 manual, 32.1.1.1), in the order in which it was written.
type ConnInfo []Parameter

// Parameter is one keyword of a connection string with its value, unquoted.
type Parameter struct{ Name, Value string }

// ReadConnInfo reads a connection string as libpq does; of a keyword that is given twice the last one counts. An error: a URI, or a text that libpq refuses too.
// The error does not hold values: one may be a password.
func ReadConnInfo(text string) (ConnInfo, error) {
	var out ConnInfo
	if strings.HasPrefix(text, "postgresql://") || strings.HasPrefix(text, "postgres://") {
		return nil, fmt.Errorf("it is a URI; write it as keywords: host=… port=… user=…")
	}
	const space = " \t\n\r\v\f"
	for rest := strings.TrimLeft(text, space); rest != ""; rest = strings.TrimLeft(rest, space) {
		end := strings.IndexAny(rest, "="+space)
		if end < 1 {
			return nil, fmt.Errorf("a keyword is not followed by =")
		}
		name := rest[:end]
		rest = strings.TrimLeft(rest[end:], space)
		if !strings.HasPrefix(rest, "=") {
			return nil, fmt.Errorf("keyword %s is not followed by =", name)
		}
		var value string
		var ok bool
		if value, rest, ok = readParameter(strings.TrimLeft(rest[1:], space)); !ok {
			return nil, fmt.Errorf("the quotes of %s are not closed", name)
		}
		out = out.With(Parameter{name, value})
	}
	return out, nil
}

// readParameter reads one value, quoted or not; false when its quotes are not closed.
func readParameter(text string) (value, rest string, ok bool) {
	var b strings.Builder
	quoted := strings.HasPrefix(text, "'")
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case quoted && c == '\'':
			return b.String(), text[i+1:], true
		case !quoted && strings.IndexByte(" \t\n\r\v\f", c) >= 0:
			return b.String(), text[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}

// Get gives a keyword's value, "" when it is not given.
func (c ConnInfo) Get(name string) string {
	for _, p := range c {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// With gives the string with keywords set; those that it has stay in their place.
func (c ConnInfo) With(set ...Parameter) ConnInfo {
	out := slices.Clone(c)
	for _, p := range set {
		i := slices.IndexFunc(out, func(o Parameter) bool { return o.Name == p.Name })
		if i < 0 {
			out = append(out, p)
			continue
		}
		out[i] = p
	}
	return out
}

// Without gives the string without some keywords.
func (c ConnInfo) Without(names ...string) ConnInfo {
	return slices.DeleteFunc(slices.Clone(c), func(p Parameter) bool { return slices.Contains(names, p.Name) })
}

// String writes the string, values in quotes where they need them.
func (c ConnInfo) String() string {
	words := make([]string, len(c))
	for i, p := range c {
		value := p.Value
		if value == "" || strings.ContainsAny(value, " \t\n\r\v\f'\\") {
			value = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
		}
		words[i] = p.Name + "=" + value
	}
	return strings.Join(words, " ")
}

// Shown writes the string as it may be seen: without passwords.
func (c ConnInfo) Shown() string {
	out := slices.Clone(c)
	for i, p := range out {
		if p.Name == "password" || p.Name == "sslpassword" {
			out[i].Value = "(hidden)"
		}
	}
	return out.String()
}
