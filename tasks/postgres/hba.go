package postgres

import (
	"fmt"
	"net/netip"
	"strings"
)

// Token is one word of a pg_hba.conf or pg_ident.conf field. A quoted word is never a keyword (PostgreSQL manual, 21.1).
type Token struct {
	Text   string
	Quoted bool
}

// is tells whether the token is the keyword.
func (t Token) is(keyword string) bool { return !t.Quoted && t.Text == keyword }

// AddressKind says how a rule's address field is to be read.
type AddressKind int

// The forms of an address field.
const (
	AddressNone AddressKind = iota // local rules have none
	AddressAll
	AddressSameHost
	AddressSameNet
	AddressPrefix
	AddressName // a host name, or .domain
)

// Rule is one line of a pg_hba.conf.
type Rule struct {
	// Line is the first line's number, from 1; Text is the rule as written, continuation lines joined, comment included.
	Line int
	Text string
	// Type: local, host, hostssl, hostnossl, hostgssenc, hostnogssenc; or include, include_if_exists, include_dir (16 on), when
	// Include is the path and nothing else is set.
	Type             string
	Include          string
	Databases, Users []Token
	Kind             AddressKind
	// Prefix is set for AddressPrefix, Name for AddressName.
	Prefix netip.Prefix
	Name   string
	Method string
	// Options are the words "name=value" after the method.
	Options []string
}

// ReadHBA gives the rules of a pg_hba.conf in order as PostgreSQL of the given major version reads it (hba.c): a backslash continues a line from 14 on, include directives exist
// from 16 on. The first broken line ends the reading with a *SyntaxError; the rules before it are returned too.
func ReadHBA(text []byte, major int) ([]Rule, error) {
	var out []Rule
	for _, l := range logicalLines(text, major >= 14) {
		fields := splitFields(l.text)
		if len(fields) == 0 {
			continue
		}
		r, err := readRule(fields, major)
		if err != nil {
			return out, &SyntaxError{Line: l.number, Text: err.Error()}
		}
		r.Line, r.Text = l.number, strings.TrimSpace(l.text)
		out = append(out, r)
	}
	return out, nil
}

type logicalLine struct {
	number int
	text   string
}

// logicalLines splits a file into lines; with continuation, a backslash at the end joins the next line.
func logicalLines(text []byte, continuation bool) []logicalLine {
	var out []logicalLine
	joined, start := "", 0
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(line, "\r")
		if start == 0 {
			start = i + 1
		}
		if continuation && strings.HasSuffix(line, `\`) {
			joined += strings.TrimSuffix(line, `\`)
			continue
		}
		out = append(out, logicalLine{start, joined + line})
		joined, start = "", 0
	}
	if joined != "" {
		out = append(out, logicalLine{start, joined})
	}
	return out
}

// splitFields takes a line apart: fields stand between blanks, a field is a list of words between commas.
func splitFields(line string) [][]Token {
	var out [][]Token
	for rest := line; ; {
		field, after := nextField(rest)
		if len(field) == 0 {
			return out
		}
		out = append(out, field)
		rest = after
	}
}

func nextField(text string) (field []Token, rest string) {
	for comma := true; comma; {
		var t Token
		var ok bool
		t, ok, comma, text = nextToken(text)
		if !ok {
			break
		}
		field = append(field, t)
	}
	return field, text
}

// nextToken is hba.c's next_token: quotes may stand anywhere in a word, "" inside them is a quote.
func nextToken(text string) (t Token, ok, comma bool, rest string) {
	text = strings.TrimLeft(text, " \t\r,")
	var word strings.Builder
	inQuote, wasQuote, sawQuote := false, false, false
	i := 0
	for ; i < len(text) && (inQuote || !isBlank(text[i])); i++ {
		c := text[i]
		if c == '#' && !inQuote {
			i = len(text)
			break
		}
		if c == ',' && !inQuote {
			comma = true
			i++
			break
		}
		if c != '"' || wasQuote {
			word.WriteByte(c)
		}
		wasQuote = inQuote && c == '"' && !wasQuote
		if c == '"' {
			inQuote = !inQuote
			sawQuote = true
			if word.Len() == 0 {
				t.Quoted = true
			}
		}
	}
	t.Text = word.String()
	return t, sawQuote || word.Len() > 0, comma, text[i:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// readRule reads the fields of one line.
func readRule(fields [][]Token, major int) (r Rule, err error) {
	if len(fields[0]) != 1 {
		return r, fmt.Errorf("several values where the connection type stands")
	}
	r.Type = fields[0][0].Text
	switch r.Type {
	case "include", "include_if_exists", "include_dir":
		if major < 16 {
			return r, fmt.Errorf("%s exists from PostgreSQL 16 on, this is %d", r.Type, major)
		}
		if len(fields) != 2 || len(fields[1]) != 1 {
			return r, fmt.Errorf("%s wants one path", r.Type)
		}
		r.Include = fields[1][0].Text
		return r, nil
	case "local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc":
	default:
		return r, fmt.Errorf("invalid connection type %q", clip(r.Type))
	}
	if len(fields) < 4 {
		return r, fmt.Errorf("the line ends before the authentication method")
	}
	r.Databases, r.Users = fields[1], fields[2]
	rest := fields[3:]
	if r.Type != "local" {
		if rest, err = r.readAddress(rest); err != nil {
			return r, err
		}
	}
	if len(rest) == 0 || len(rest[0]) != 1 {
		return r, fmt.Errorf("one authentication method is wanted at the end")
	}
	r.Method = rest[0][0].Text
	if !knownMethod(r.Method, major) {
		return r, fmt.Errorf("invalid authentication method %q", clip(r.Method))
	}
	for _, field := range rest[1:] {
		for _, t := range field {
			if !strings.Contains(t.Text, "=") {
				return r, fmt.Errorf("authentication option %q is not in name=value form", clip(t.Text))
			}
			r.Options = append(r.Options, t.Text)
		}
	}
	return r, nil
}

// knownMethod tells whether a server of this version has the method (manual, 21.1; radius is gone in 19, oauth came with 18).
func knownMethod(method string, major int) bool {
	switch method {
	case "trust", "reject", "md5", "password", "scram-sha-256", "gss", "sspi", "ident", "peer", "pam", "bsd", "ldap", "cert":
		return true
	case "radius":
		return major < 19
	case "oauth":
		return major >= 18
	}
	return false
}

// readAddress takes the address field, and a netmask field where there is one.
func (r *Rule) readAddress(fields [][]Token) ([][]Token, error) {
	if len(fields[0]) != 1 {
		return nil, fmt.Errorf("several values where one address is wanted")
	}
	t := fields[0][0]
	switch {
	case t.is("all"):
		r.Kind = AddressAll
		return fields[1:], nil
	case t.is("samehost"):
		r.Kind = AddressSameHost
		return fields[1:], nil
	case t.is("samenet"):
		r.Kind = AddressSameNet
		return fields[1:], nil
	}
	if prefix, err := netip.ParsePrefix(t.Text); err == nil {
		r.Kind, r.Prefix = AddressPrefix, prefix.Masked()
		return fields[1:], nil
	}
	addr, err := netip.ParseAddr(t.Text)
	if err != nil {
		if strings.Contains(t.Text, "/") {
			return nil, fmt.Errorf("invalid address %q", clip(t.Text))
		}
		r.Kind, r.Name = AddressName, t.Text
		return fields[1:], nil
	}
	if len(fields) < 2 || len(fields[1]) != 1 {
		return nil, fmt.Errorf("address %s needs a mask: write %s/%d", t.Text, t.Text, addr.BitLen())
	}
	bits, err := maskBits(fields[1][0].Text, addr)
	if err != nil {
		return nil, err
	}
	r.Kind, r.Prefix = AddressPrefix, netip.PrefixFrom(addr, bits).Masked()
	return fields[2:], nil
}

// maskBits reads a netmask such as 255.255.255.0.
func maskBits(text string, addr netip.Addr) (int, error) {
	mask, err := netip.ParseAddr(text)
	if err != nil || mask.BitLen() != addr.BitLen() {
		return 0, fmt.Errorf("invalid netmask %q for %s", clip(text), addr)
	}
	bits, ended := 0, false
	for _, b := range mask.AsSlice() {
		for i := 7; i >= 0; i-- {
			one := b>>i&1 == 1
			if one && ended {
				return 0, fmt.Errorf("netmask %s has a hole; write the address as a CIDR range", text)
			}
			if one {
				bits++
			}
			ended = ended || !one
		}
	}
	return bits, nil
}

// QuoteName writes a database or role name as it may stand in pg_hba.conf: as it is when it is a plain word, else in quotes.
func QuoteName(name string) string {
	plain := name != ""
	for i := 0; i < len(name); i++ {
		c := name[i]
		plain = plain && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '-'))
	}
	switch name {
	case "all", "sameuser", "samerole", "samegroup", "replication":
		plain = false
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// CheckName refuses a name that cannot be written in pg_hba.conf so that it stands for itself: a slash at the start makes a regular
// expression from 16 on, quoted or not; a line break ends the rule.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a name is empty")
	case name[0] == '/':
		return fmt.Errorf("name %q begins with a slash, which pg_hba.conf reads as a regular expression", name)
	case strings.ContainsAny(name, "\n\r\x00"):
		return fmt.Errorf("name %q holds a line break", name)
	}
	return nil
}
