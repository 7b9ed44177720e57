package tasks

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/postgres"
)

// judge compares who gets in before and after.
type judge struct {
	w             *hbaWork
	reader        postgres.Reader
	before, after []postgres.Rule
	// blockEnd is the last line of the new block.
	blockEnd int
	// declared are the users of identities for databases, replicating those for replication.
	declared, replicating   map[string]bool
	indexBefore, indexAfter *postgres.Index
	// ofRoles and ofDatabases: what came out for roles, and for a database of them, that the same rules fit.
	ofRoles, ofDatabases map[string]loss
}

// loss is a login that is admitted before and not afterwards; rule is nil where there is none.
type loss struct {
	addr     netip.Addr
	database string
	rule     *postgres.Rule
}

// role tells how a role that is admitted now would be shut out, "" when it would not.
func (j *judge) role(r Role) string {
	before, after := j.indexBefore.Of(r.Name), j.indexAfter.Of(r.Name)
	kind := fmt.Sprint(j.declared[r.Name], j.replicating[r.Name], r.Replication || r.Superuser)
	if before.Compares || after.Compares {
		kind += " " + r.Name
	}
	key := before.Key + "/" + after.Key + "/" + kind
	lost, known := j.ofRoles[key]
	if !known {
		lost = j.lost(r, kind, before, after)
		j.ofRoles[key] = lost
	}
	if lost.rule == nil {
		return ""
	}
	what := "database " + lost.database
	if lost.database == "" {
		what = "replication"
	}
	return fmt.Sprintf("role %s from %s to %s: admitted now by line %d: %s", r.Name, lost.addr, what, lost.rule.Line, secretOption.ReplaceAllString(lost.rule.Text, "$1=(hidden)"))
}

// lost finds the first login of a role of some kind that is shut out.
func (j *judge) lost(r Role, kind string, before, after postgres.Selection) loss {
	for _, db := range j.databases(r, before, after) {
		key := before.KeyFor(db) + "/" + after.KeyFor(db) + "/" + kind
		if before.Compares || after.Compares || db == "" {
			key += " " + db
		}
		lost, known := j.ofDatabases[key]
		if !known {
			lost = j.lostAt(postgres.Login{User: r.Name, Database: db, Replication: db == ""}, before.For(db), after.For(db))
			j.ofDatabases[key] = lost
		}
		if lost.rule != nil {
			lost.database = db
			return lost
		}
	}
	return loss{}
}

// lostAt finds the first address from which a login is shut out.
func (j *judge) lostAt(l postgres.Login, before, after []postgres.Rule) loss {
	if j.isDeclared(l) {
		return loss{}
	}
	for _, l.Address = range addresses(before, after) {
		if rule := j.loses(before, after, l); rule != nil {
			return loss{addr: l.Address, rule: rule}
		}
	}
	return loss{}
}

// loses gives the rule that admits a login now, with or without TLS, when none does afterwards. From the host itself, where programs often connect without
// TLS, plain connections count by themselves.
func (j *judge) loses(before, after []postgres.Rule, l postgres.Login) *postgres.Rule {
	var admits *postgres.Rule
	kept := false
	for _, tls := range []bool{false, true} {
		l.TLS = tls
		rule, was := j.reader.MayAdmit(before, l)
		is := j.admitted(after, l)
		if was && admits == nil {
			admits = rule
		}
		if was && !is && !tls && l.Address.IsLoopback() {
			return rule
		}
		kept = kept || is
	}
	if kept {
		return nil
	}
	return admits
}

// admitted tells whether a login may get in afterwards. A rule of the block's that wants a certificate admits only who is declared: nobody else has one.
func (j *judge) admitted(after []postgres.Rule, l postgres.Login) bool {
	for _, r := range j.reader.Deciding(after, l) {
		if r == nil || r.Method == "reject" {
			continue
		}
		if r.Line > j.blockEnd || j.isDeclared(l) || !wantsCertificate(r) || slices.Contains(j.w.block.Exceptions, r.Text) {
			return true
		}
	}
	return false
}

// isDeclared tells whether the inventory has a login's user for what it logs in for.
func (j *judge) isDeclared(l postgres.Login) bool {
	if l.Replication {
		return j.replicating[l.User]
	}
	return j.declared[l.User]
}

func wantsCertificate(r *postgres.Rule) bool {
	return r.Method == "cert" || slices.ContainsFunc(r.Options, func(o string) bool { return strings.HasPrefix(o, "clientcert=verify") })
}

// session tells how an open session's like would be refused, "" when not.
func (j *judge) session(s Session) string {
	addr, err := netip.ParseAddr(s.Address)
	if err != nil {
		return ""
	}
	l := postgres.Login{User: s.User, Database: s.Database, Replication: s.Database == "replication", Address: addr.Unmap(), TLS: s.TLS}
	if j.isDeclared(l) {
		l.TLS = true // what streams without it still is looked at by cutStreams
	}
	if j.admitted(j.after, l) {
		return ""
	}
	how := "with TLS"
	if !s.TLS {
		how = "without TLS"
		if l.TLS = true; j.admitted(j.after, l) {
			how += " (with TLS it would be admitted: where its sslmode lets it, have it connect again)"
		}
	}
	return fmt.Sprintf("session open now: role %s, database %s, from %s, %s", s.User, s.Database, s.Address, how)
}

// application tells how an open session of a declared user would be refused if it began anew, "" when not: without TLS, or without a certificate. That its client can show one
// has been proved, not that its application does.
func (j *judge) application(s Session) string {
	addr, err := netip.ParseAddr(s.Address)
	l := postgres.Login{User: s.User, Database: s.Database, Address: addr.Unmap(), TLS: true}
	if err != nil || s.Database == "replication" || !j.isDeclared(l) || !j.admitted(j.after, l) {
		return ""
	}
	how := ""
	if l.TLS = s.TLS; !s.TLS && !j.admitted(j.after, l) {
		how = "without TLS"
	}
	l.TLS = true
	wanted := !slices.ContainsFunc(j.reader.Deciding(j.after, l), func(r *postgres.Rule) bool { return r != nil && r.Method != "reject" && !wantsCertificate(r) })
	if wanted && s.Serial == "" && (how != "" || s.TLS) {
		how = strings.TrimPrefix(how+" and without a certificate", " and ")
	}
	if how == "" {
		return ""
	}
	return fmt.Sprintf("session open now: role %s, database %s, from %s, %s", s.User, s.Database, s.Address, how)
}

// elsewhere lists the declared users whose client was seen to come from an address that the new rules do not know it by: it has others than the inventory says.
func (j *judge) elsewhere() []string {
	var out []string
	proofs := j.w.h.Fleet.Proofs
	for _, client := range j.w.h.Fleet.Clients(j.w.h.Name) {
		for _, from := range proofs.Sources(client.Name, j.w.h.Name) {
			for _, id := range client.identitiesAt(j.w.h) {
				l := postgres.Login{User: id.DBUser, Database: j.w.c.databasesOf([]byte(j.w.after), id)[0], Address: from, TLS: true}
				if id.Replication || j.admitted(j.after, l) {
					continue
				}
				out = append(out, fmt.Sprintf("%s of %s: connects from %s, and by the inventory from %s", id.DBUser, client.Name, from, addressWords(j.w.c.addressesOf(client))))
			}
		}
	}
	return out
}

// addressWords puts addresses into words.
func addressWords(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// addresses are samples: the first two addresses and the last of every range in the rules, some address outside.
func addresses(before, after []postgres.Rule) []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("2001:db8::77"), netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	seen := map[netip.Addr]bool{out[0]: true, out[1]: true, out[2]: true, out[3]: true}
	for _, rules := range [][]postgres.Rule{before, after} {
		for _, r := range rules {
			if r.Kind != postgres.AddressPrefix {
				continue
			}
			for _, a := range []netip.Addr{r.Prefix.Addr(), r.Prefix.Addr().Next(), lastOf(r.Prefix)} {
				if r.Prefix.Contains(a) && !seen[a] {
					out, seen[a] = append(out, a), true
				}
			}
		}
	}
	return out
}

// lastOf gives the last address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(a); i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(a)
	return last
}

// databases are samples for a role: those that its rules name, one that they do not, the role's namesake; "" stands for replication.
func (j *judge) databases(r Role, before, after postgres.Selection) []string {
	named := before.Databases()
	maps.Copy(named, after.Databases())
	var out []string
	other := false
	for _, db := range j.w.c.Databases {
		if named[db] || db == r.Name || slices.Contains(r.Groups, db) || !other {
			out = append(out, db)
		}
		other = other || !named[db]
	}
	if r.Replication || r.Superuser {
		out = append(out, "")
	}
	return out
}
