package postgres

import (
	"net/netip"
	"regexp"
	"strings"
)

// Login is one attempt to log in, as pg_hba.conf sees it.
type Login struct {
	User, Database string
	// Replication: a physical replication connection; Database does not count then.
	Replication bool
	// Address of the client; the zero value is a Unix socket.
	Address netip.Addr
	TLS     bool
}

// Match is how surely a rule matches.
type Match int

// The three answers: Maybe where the file alone does not tell (host names, samenet, included files).
const (
	No Match = iota
	Maybe
	Yes
)

func both(a, b Match) Match { return min(a, b) }

// Reader answers which rule decides. Groups gives the roles that a role is a member of, directly or not; nil: none.
type Reader struct {
	Major  int
	Groups func(role string) []string
}

// Deciding gives the rules that may decide a login, in order: all but the last are only possible, the last is certain. A nil at the end means that the
// login may meet no rule at all, which refuses it.
func (rd Reader) Deciding(rules []Rule, l Login) []*Rule {
	var out []*Rule
	for i := range rules {
		switch rd.matches(&rules[i], l) {
		case Yes:
			return append(out, &rules[i])
		case Maybe:
			out = append(out, &rules[i])
		}
	}
	return append(out, nil)
}

// MayAdmit tells whether some rule that may decide is not a refusal, and gives the first such.
func (rd Reader) MayAdmit(rules []Rule, l Login) (*Rule, bool) {
	for _, r := range rd.Deciding(rules, l) {
		if r != nil && r.Method != "reject" {
			return r, true
		}
	}
	return nil, false
}

func (rd Reader) matches(r *Rule, l Login) Match {
	if r.Include != "" {
		return Maybe
	}
	return both(both(typeMatches(r.Type, l), rd.addressMatches(r, l)), both(rd.databaseMatches(r, l), rd.userMatches(r, l)))
}

func typeMatches(kind string, l Login) Match {
	local := !l.Address.IsValid()
	yes := false
	switch kind {
	case "local":
		yes = local
	case "host", "hostnogssenc":
		yes = !local
	case "hostssl":
		yes = !local && l.TLS
	case "hostnossl":
		yes = !local && !l.TLS
	}
	if yes {
		return Yes
	}
	return No
}

func (rd Reader) addressMatches(r *Rule, l Login) Match {
	switch r.Kind {
	case AddressNone, AddressAll:
		return Yes
	case AddressPrefix:
		if r.Prefix.Contains(l.Address.Unmap()) {
			return Yes
		}
		return No
	case AddressSameHost:
		if l.Address == netip.MustParseAddr("127.0.0.1") || l.Address == netip.IPv6Loopback() {
			return Yes
		}
	case AddressSameNet:
		if l.Address.IsLoopback() {
			return Yes
		}
	}
	return Maybe
}

func (rd Reader) databaseMatches(r *Rule, l Login) Match {
	best := No
	for _, t := range r.Databases {
		best = max(best, rd.databaseTokenMatches(t, l))
	}
	return best
}

func (rd Reader) databaseTokenMatches(t Token, l Login) Match {
	yes := false
	switch {
	case isFile(t):
		return Maybe
	case l.Replication:
		yes = t.is("replication")
	case t.is("all"):
		yes = true
	case t.is("sameuser"):
		yes = l.Database == l.User
	case t.is("samerole"), t.is("samegroup"):
		yes = l.Database == l.User || rd.member(l.User, l.Database)
	case t.is("replication"):
	case rd.Major >= 16 && strings.HasPrefix(t.Text, "/"):
		return matchesPattern(t.Text[1:], l.Database)
	default:
		yes = t.Text == l.Database
	}
	if yes {
		return Yes
	}
	return No
}

func (rd Reader) userMatches(r *Rule, l Login) Match {
	best := No
	for _, t := range r.Users {
		m := No
		switch {
		case isFile(t):
			m = Maybe
		case !t.Quoted && strings.HasPrefix(t.Text, "+"):
			if g := t.Text[1:]; g == l.User || rd.member(l.User, g) {
				m = Yes
			}
		case rd.Major >= 16 && strings.HasPrefix(t.Text, "/"):
			m = matchesPattern(t.Text[1:], l.User)
		case t.is("all"), t.Text == l.User:
			m = Yes
		}
		best = max(best, m)
	}
	return best
}

// isFile tells whether a token names a file of further words.
func isFile(t Token) bool { return !t.Quoted && len(t.Text) > 1 && t.Text[0] == '@' }

func (rd Reader) member(role, group string) bool {
	if rd.Groups == nil {
		return false
	}
	for _, g := range rd.Groups(role) {
		if g == group {
			return true
		}
	}
	return false
}

// matchesPattern tries a PostgreSQL regular expression with Go's; those that Go reads differently, or not at all, give Maybe.
func matchesPattern(pattern, name string) Match {
	if strings.ContainsAny(pattern, `\(?[{*`) {
		return Maybe
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return Maybe
	}
	if re.MatchString(name) {
		return Yes
	}
	return No
}
