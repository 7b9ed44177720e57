package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
)

var (
	labelRE    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	groupRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)
	variableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	quadRE     = regexp.MustCompile(`^[0-9]+(\.[0-9]+){3}$`)
	osUserRE   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?$`)
	clusterRE  = regexp.MustCompile(`^[0-9]{1,2}(\.[0-9])?/[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
)

// parseIP reads an IP address, in brackets or not; the zero Addr when it is none.
func parseIP(text string) netip.Addr {
	if len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
		text = text[1 : len(text)-1]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// checkHost tells whether a text can name a host: a DNS name (underscores are met in practice) or an IP address.
func checkHost(name string) error {
	if parseIP(name).IsValid() {
		return nil
	}
	if quadRE.MatchString(name) {
		return fmt.Errorf("%q is not an IP address (0 to 255 four times, without leading zeros)", name)
	}
	if len(name) > 253 {
		return fmt.Errorf("%q is longer than the 253 bytes of a DNS name", short(name))
	}
	for _, label := range strings.Split(name, ".") {
		if !labelRE.MatchString(label) {
			switch plain := strings.TrimSuffix(name, "."); {
			case plain != name && plain != "" && checkHost(plain) == nil:
				return fmt.Errorf("%q ends with a dot, which no certificate may hold: write %s", short(name), short(plain))
			case strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII && unicode.IsLetter(r) }):
				return fmt.Errorf("%q has letters that no name in a certificate may hold: write it as DNS has it, xn--…", short(name))
			}
			return fmt.Errorf("%q is neither a host name nor an IP address", short(name))
		}
	}
	return nil
}

// checkName is checkHost for subjectAltName, where *.example.net is allowed too.
func checkName(name string) error {
	if rest, ok := strings.CutPrefix(name, "*."); ok && strings.Contains(rest, ".") {
		return checkHost(rest)
	}
	return checkHost(name)
}

// address gives the usual form of an address: no brackets, and no leading zeros where a range put them (10.0.0.[01:20]).
func address(text string, ranged bool) string {
	if ranged && quadRE.MatchString(text) {
		parts := strings.Split(text, ".")
		for i, p := range parts {
			if p = strings.TrimLeft(p, "0"); p == "" {
				p = "0"
			}
			parts[i] = p
		}
		text = strings.Join(parts, ".")
	}
	if ip := parseIP(text); ip.IsValid() {
		return ip.String()
	}
	return text
}

// short cuts a text for messages.
func short(text string) string {
	if len(text) > 80 {
		return text[:77] + "…"
	}
	return text
}
