package postgres

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The marks around what pgfleet writes into a user's file.
const (
	blockBegin = "# BEGIN pgfleet: these lines are written by pgfleet, changes to them are lost; your own lines follow after the end mark"
	blockEnd   = "# END pgfleet"
	beginStart = "# BEGIN pgfleet"
	// declaredMark comes before the logins that the inventory declares.
	declaredMark = "# declared identities, from their clients only"
	// ownMark comes before those of the host itself, by its loopback addresses.
	ownMark = "# declared identities of this host itself"
	// replicationMark comes before the logins of standbys that the inventory declares.
	replicationMark = "# replication, by certificate, from declared servers only"
)

// SplitBlock takes a file apart: the lines between pgfleet's marks, and the user's own bytes (what stands before and after, exactly). Without marks, block is nil.
// An error: one mark without the other, or two blocks.
func SplitBlock(text []byte) (block []string, user []byte, err error) {
	begin, end := -1, -1
	var before, after []byte
	for i, line := range bytes.SplitAfter(text, []byte("\n")) {
		bare := strings.TrimRight(string(line), "\r\n")
		switch {
		case strings.HasPrefix(bare, beginStart):
			if begin >= 0 {
				return nil, nil, &SyntaxError{i + 1, fmt.Sprintf("a second mark %q (the first is on line %d); delete one of the two blocks", beginStart, begin+1)}
			}
			begin, block = i, []string{}
		case bare == blockEnd:
			if begin < 0 || end >= 0 {
				return nil, nil, &SyntaxError{i + 1, fmt.Sprintf("the mark %q has no %q before it; restore the mark or delete this one", blockEnd, beginStart)}
			}
			end = i
		case begin >= 0 && end < 0:
			block = append(block, bare)
		case begin >= 0:
			after = append(after, line...)
		default:
			before = append(before, line...)
		}
	}
	if begin >= 0 && end < 0 {
		return nil, nil, &SyntaxError{begin + 1, fmt.Sprintf("the mark %q has no %q after it; restore the mark or delete this one", beginStart, blockEnd)}
	}
	return block, append(before, after...), nil
}

// JoinBlock puts a block at the top of the user's bytes. Without lines there is no block: the user's bytes come back as they are.
func JoinBlock(block []string, user []byte) []byte {
	if len(block) == 0 {
		return user
	}
	var b bytes.Buffer
	b.WriteString(blockBegin + "\n")
	for _, line := range block {
		b.WriteString(line + "\n")
	}
	b.WriteString(blockEnd + "\n")
	b.Write(user)
	return b.Bytes()
}

// Admission lets one role log in over TLS.
type Admission struct {
	User string
	// Databases; none: all.
	Databases []string
	Addresses []netip.Prefix
	// Method with its options, for example "scram-sha-256 clientcert=verify-full".
	Method string
}

// Block says what the managed part of a pg_hba.conf shall do.
type Block struct {
	// Exceptions are whole lines that come first, as the user wrote them.
	Exceptions []string
	// Keep: address ranges for which the user's own rules go on to decide, as if there were no block.
	Keep []netip.Prefix
	// AllowPlain: connections without TLS are left to the user's rules instead of refused.
	AllowPlain bool
	// Admit: the declared logins. Their roles are refused from every other address.
	Admit []Admission
	// Replicate: the declared logins for replication, refused from every other address.
	Replicate []Admission
	// Open: nobody is refused. Only Replicate counts, and only as far as it admits.
	Open bool
	// CatchAll, if not "", is the method for everybody else over TLS ("cert"); nobody reaches the user's rules then.
	CatchAll string
}

// everywhere is every address, IPv4 and IPv6.
func everywhere() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

// Lines renders the block's rules above the user's own. Whoever was refused before and is not named in Exceptions, Admit or CatchAll stays refused: what is let in for
// Keep is copied, narrowed, from the user's rules in their order.
func (b Block) Lines(user []Rule) []string {
	var out []string
	if b.Open {
		return b.replicateLines()
	}
	if len(b.Exceptions) > 0 {
		out = append(append(out, "# exceptions"), b.Exceptions...)
	}
	if own := b.ownLines(); len(own) > 0 {
		out = append(append(out, ownMark), own...)
	}
	if kept := keepLines(b.Keep, user); len(kept) > 0 {
		out = append(append(out, "# this host itself: your own rules, as before"), kept...)
	}
	if b.CatchAll != "" {
		for _, p := range b.Keep {
			out = append(out, rule("host", "all", "all", p, "reject"), rule("host", "replication", "all", p, "reject"))
		}
	}
	out = append(out, b.replicateLines()...)
	if !b.AllowPlain {
		out = append(out, "# nobody without TLS")
		for _, db := range []string{"all", "replication"} {
			for _, p := range everywhere() {
				out = append(out, rule("hostnossl", db, "all", p, "reject"))
			}
		}
	}
	if len(b.Admit) > 0 {
		out = append(append(out, declaredMark), b.admitLines()...)
	}
	if b.CatchAll != "" {
		out = append(out, "# everybody else")
		for _, p := range everywhere() {
			out = append(out, rule("hostssl", "all", "all", p, b.CatchAll))
		}
	}
	return out
}

// replicateLines gives the declared logins for replication, then the refusals of the same roles elsewhere.
func (b Block) replicateLines() []string {
	if len(b.Replicate) == 0 {
		return nil
	}
	out := []string{replicationMark}
	var refusals []string
	for _, a := range b.Replicate {
		for _, p := range a.Addresses {
			out = append(out, rule("hostssl", "replication", QuoteName(a.User), p, a.Method))
		}
		for _, p := range everywhere() {
			refusals = append(refusals, rule("host", "replication", QuoteName(a.User), p, "reject"))
		}
	}
	if b.Open {
		return out
	}
	return append(out, refusals...)
}

// Replicating gives the lines of a block with the logins for replication of b that it lacks put in front.
func (b Block) Replicating(block []string) []string {
	b.Open = true
	lines := slices.DeleteFunc(b.replicateLines(), func(line string) bool { return line == replicationMark || slices.Contains(block, line) })
	if len(lines) == 0 {
		return block
	}
	return slices.Concat([]string{replicationMark}, lines, slices.DeleteFunc(slices.Clone(block), func(line string) bool { return line == replicationMark }))
}

// ownLines gives the declared logins from loopback addresses: they come before what Keep copies, which may let the same roles in another way.
func (b Block) ownLines() []string {
	var out []string
	for _, a := range b.Admit {
		for _, p := range a.Addresses {
			if p.Addr().IsLoopback() {
				out = append(out, rule("hostssl", nameList(a.Databases), QuoteName(a.User), p, a.Method))
			}
		}
	}
	return out
}

// admitLines gives the declared logins from elsewhere, then the refusals of the same roles from anywhere else.
func (b Block) admitLines() []string {
	var out []string
	seen := map[string]bool{}
	var roles []string
	for _, a := range b.Admit {
		for _, p := range a.Addresses {
			if !p.Addr().IsLoopback() {
				out = append(out, rule("hostssl", nameList(a.Databases), QuoteName(a.User), p, a.Method))
			}
		}
		if !seen[a.User] {
			seen[a.User] = true
			roles = append(roles, a.User)
		}
	}
	for _, role := range roles {
		for _, p := range everywhere() {
			out = append(out, rule("host", "all", QuoteName(role), p, "reject"))
		}
	}
	return out
}

// nameList joins names as one field; none means all.
func nameList(names []string) string {
	if len(names) == 0 {
		return "all"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = QuoteName(name)
	}
	return strings.Join(quoted, ",")
}

// rule writes one line in columns.
func rule(kind, db, user string, p netip.Prefix, method string) string {
	return fmt.Sprintf("%-9s %-15s %-15s %-18s %s", kind, db, user, p, method)
}

// keepLines copies the user's rules narrowed to the ranges. Ranges in CIDR form nest or are apart, so the copy decides as the original does; rules
// for host names cannot be narrowed and are left out. After an included file, or a refusal by host name, nothing more is copied: what it
// refuses is not known here.
func keepLines(keep []netip.Prefix, user []Rule) []string {
	var out []string
	for i := range user {
		if user[i].Include != "" || user[i].Kind == AddressName && user[i].Method == "reject" {
			return out
		}
		for _, p := range keep {
			if narrowed, ok := narrow(&user[i], p); ok {
				out = append(out, copyRule(&user[i], narrowed))
			}
		}
	}
	return out
}

// narrow gives the part of a rule's addresses that lies in p. Of the loopback addresses samenet holds all, samehost the first.
func narrow(r *Rule, p netip.Prefix) (netip.Prefix, bool) {
	if r.Type == "local" || r.Include != "" {
		return p, false
	}
	switch r.Kind {
	case AddressAll:
		return p, true
	case AddressSameNet:
		return p, p.Addr().IsLoopback()
	case AddressSameHost:
		first := netip.MustParseAddr("127.0.0.1")
		if p.Contains(first) {
			return netip.PrefixFrom(first, 32), true
		}
		return p, p.Addr() == netip.IPv6Loopback()
	case AddressPrefix:
		if !r.Prefix.Overlaps(p) {
			return p, false
		}
		if r.Prefix.Bits() > p.Bits() {
			return r.Prefix, true
		}
		return p, true
	}
	return p, false
}

// copyRule writes a rule again with another address.
func copyRule(r *Rule, p netip.Prefix) string {
	method := r.Method
	for _, o := range r.Options {
		name, value, _ := strings.Cut(o, "=")
		method += " " + name + "=" + quoteOption(value)
	}
	return rule(r.Type, tokenList(r.Databases), tokenList(r.Users), p, method)
}

func quoteOption(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\",#") {
		return value
	}
	return `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
}

func tokenList(list []Token) string {
	words := make([]string, len(list))
	for i, t := range list {
		switch {
		case t.Quoted, t.Text == "", strings.ContainsAny(t.Text, " \t\",#"):
			words[i] = `"` + strings.ReplaceAll(t.Text, `"`, `""`) + `"`
		default:
			words[i] = t.Text
		}
	}
	return strings.Join(words, ",")
}

// Dead gives the user's rules that a block with a catch-all leaves without effect.
func (b Block) Dead(user []Rule) []Rule {
	if b.CatchAll == "" {
		return nil
	}
	var out []Rule
	for _, r := range user {
		if r.Type == "local" || r.Include != "" {
			continue
		}
		replication := false
		for _, t := range r.Databases {
			replication = replication || t.is("replication") || isFile(t)
		}
		if !replication || r.Type == "hostnossl" && !b.AllowPlain {
			out = append(out, r)
		}
	}
	return out
}
