package postgres

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The words from which files and logins are made.
var (
	modelTypes     = []string{"host", "host", "hostssl", "hostnossl", "local"}
	modelDatabases = []string{"all", "app", "other", "app,other", "replication", "all,replication", "sameuser", "samerole", `"all"`}
	modelUsers     = []string{"all", "dbuser1", "bob", "+staff", "dbuser1,bob", `"all"`}
	modelAddresses = []string{"all", "0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "127.0.0.0/8", "127.0.0.1/32", "127.0.0.2/32", "127.0.0.0/30", "::1/128", "samehost", "samenet", "fd00::/8"}
	modelMethods   = []string{"reject", "reject", "trust", "scram-sha-256", "md5"}
	loginAddresses = []string{"", "127.0.0.1", "127.0.0.2", "127.1.1.1", "::1", "10.1.2.3", "10.1.2.4", "10.2.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"}
)

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

func randomFile(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(7) {
		kind := pick(r, modelTypes)
		address := pick(r, modelAddresses)
		if kind == "local" {
			address = ""
		}
		fmt.Fprintf(&b, "%s %s %s %s %s\n", kind, pick(r, modelDatabases), pick(r, modelUsers), address, pick(r, modelMethods))
	}
	return b.String()
}

func randomBlock(r *rand.Rand) Block {
	b := Block{AllowPlain: r.IntN(3) == 0}
	if r.IntN(4) > 0 {
		b.Keep = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if r.IntN(5) == 0 {
		b.CatchAll = "cert"
		return b
	}
	for _, user := range []string{"dbuser1", "bob"} {
		if r.IntN(2) == 0 {
			continue
		}
		a := Admission{User: user, Method: "cert", Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")}}
		if r.IntN(2) == 0 {
			a.Addresses = append(a.Addresses, netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("fd00::/16"))
		}
		if r.IntN(2) == 0 {
			a.Databases = []string{"app"}
		}
		b.Admit = append(b.Admit, a)
	}
	return b
}

func allLogins() []Login {
	var out []Login
	for _, user := range []string{"dbuser1", "bob", "staff", "carol", "all", "app"} {
		for _, db := range []string{"app", "other", "all", "dbuser1", ""} {
			for _, text := range loginAddresses {
				for _, tls := range []bool{false, true} {
					l := Login{User: user, Database: db, Replication: db == "", TLS: tls}
					if text != "" {
						l.Address = netip.MustParseAddr(text)
					}
					if text != "" || !tls {
						out = append(out, l)
					}
				}
			}
		}
	}
	return out
}

// declared tells whether the block was asked to let a login in.
func declared(b Block, l Login) bool {
	if b.CatchAll != "" {
		return l.TLS && !l.Replication && l.Address.IsValid() && !kept(b, l)
	}
	return l.TLS && !l.Replication && slices.ContainsFunc(b.Admit, func(a Admission) bool {
		return a.User == l.User && (len(a.Databases) == 0 || slices.Contains(a.Databases, l.Database)) &&
			slices.ContainsFunc(a.Addresses, func(p netip.Prefix) bool { return p.Contains(l.Address) })
	})
}

// Nobody who was refused before is admitted afterwards, unless declared: for generated files, blocks and every login over the same words. What samehost means for
// addresses other than the first loopback address is decided both ways: as if it held them, and as if it did not.
func TestNobodyNewIsAdmitted(t *testing.T) {
	reader := Reader{Major: 15, Groups: func(role string) []string {
		if role == "carol" {
			return []string{"staff", "app"}
		}
		return nil
	}}
	logins := allLogins()
	checked := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := randomFile(r)
		block := randomBlock(r)
		user, err := ReadHBA([]byte(text), 15)
		if err != nil {
			t.Fatal(text, err)
		}
		after, err := ReadHBA(JoinBlock(block.Lines(user), []byte(text)), 15)
		if err != nil {
			t.Fatal(err)
		}
		for _, wide := range []bool{false, true} {
			a, b := settle(user, wide), settle(after, wide)
			for _, l := range logins {
				was, is := first(reader, a, l), first(reader, b, l)
				checked++
				if was == "reject" && is != "reject" && !declared(block, l) {
					t.Fatalf("seed %d, samehost wide %v: %+v was refused and is admitted by %s\n%s", seed, wide, l, is, JoinBlock(block.Lines(user), []byte(text)))
				}
				if kept(block, l) && was != is {
					t.Fatalf("seed %d, samehost wide %v: %+v was decided by %s, now by %s, although its range is to be kept\n%s", seed, wide, l, was, is,
						JoinBlock(block.Lines(user), []byte(text)))
				}
			}
		}
	}
	if checked < 1_000_000 {
		t.Fatalf("only %d logins were checked", checked)
	}
}

// settle replaces samehost and samenet by what they hold on a server with 127.0.0.1/8 and ::1, alone or besides 10.1.2.3/16.
func settle(rules []Rule, wide bool) []Rule {
	var out []Rule
	for _, r := range rules {
		var texts []string
		switch r.Kind {
		case AddressSameHost:
			texts = []string{"127.0.0.1/32", "::1/128"}
			if wide {
				texts = append(texts, "10.1.2.3/32")
			}
		case AddressSameNet:
			texts = []string{"127.0.0.0/8", "::1/128"}
			if wide {
				texts = append(texts, "10.1.0.0/16")
			}
		}
		if texts == nil {
			out = append(out, r)
			continue
		}
		for _, text := range texts {
			r.Kind, r.Prefix = AddressPrefix, netip.MustParsePrefix(text)
			out = append(out, r)
		}
	}
	return out
}

// first gives the method of the rule that decides; no rule refuses.
func first(reader Reader, rules []Rule, l Login) string {
	decide := reader.Deciding(rules, l)
	if decide[0] == nil {
		return "reject"
	}
	return decide[0].Method
}

// kept tells whether the user's own rules are to go on deciding a login.
func kept(b Block, l Login) bool {
	if !l.Address.IsValid() {
		return true
	}
	if !slices.ContainsFunc(b.Keep, func(p netip.Prefix) bool { return p.Contains(l.Address) }) {
		return false
	}
	// Declared roles are refused elsewhere, and let in where declared; that comes after the user's rules for kept ranges, but before silence.
	return !slices.ContainsFunc(b.Admit, func(a Admission) bool { return a.User == l.User })
}
