package postgres

import (
	"slices"
	"strconv"
	"strings"
)

// Index finds the rules of a file by user and database: a file has thousands where there is one for each customer.
type Index struct {
	reader Reader
	rules  []Rule
	// others are the rules that need not say the name of the database, byName the rest by each name that they say. Both in the order of the file.
	others []int
	byName map[string][]int
}

// Index makes the index of a file.
func (rd Reader) Index(rules []Rule) *Index {
	x := &Index{reader: rd, rules: rules, byName: map[string][]int{}}
	for i, r := range rules {
		if len(r.Databases) == 0 || slices.ContainsFunc(r.Databases, rd.namesNone) {
			x.others = append(x.others, i)
			continue
		}
		for _, t := range r.Databases {
			if at := x.byName[t.Text]; len(at) == 0 || at[len(at)-1] != i {
				x.byName[t.Text] = append(at, i)
			}
		}
	}
	return x
}

// namesNone tells whether a word of the database field is another than a database's name.
func (rd Reader) namesNone(t Token) bool {
	return t.is("all") || t.is("replication") || isFile(t) || rd.compares(t)
}

// compares tells whether a word of the database field can be for one database and not for another without saying its name.
func (rd Reader) compares(t Token) bool {
	return t.is("sameuser") || t.is("samerole") || t.is("samegroup") || rd.Major >= 16 && strings.HasPrefix(t.Text, "/")
}

// Selection is the rules that may decide the logins of one user.
type Selection struct {
	// Key is the same for users whom the same rules fit in the same way: for each rule its Match, as a byte.
	Key string
	// Compares: some rule is for databases that are named like the user, or as a pattern says. The same rules then need not decide for others alike.
	Compares bool

	index *Index
}

// Of gives the rules that may decide the logins of a user.
func (x *Index) Of(user string) Selection {
	s := Selection{index: x}
	key := make([]byte, len(x.rules))
	for i := range x.rules {
		r, match := &x.rules[i], Maybe
		if r.Include == "" {
			match = x.reader.userMatches(r, Login{User: user})
		}
		key[i] = byte(match)
		s.Compares = s.Compares || match != No && slices.ContainsFunc(r.Databases, x.reader.compares)
	}
	s.Key = string(key)
	return s
}

// fits tells whether a rule may be for the user.
func (s Selection) fits(i int) bool { return Match(s.Key[i]) != No }

// Databases gives the words of the selection's rules that are names of databases.
func (s Selection) Databases() map[string]bool {
	out := map[string]bool{}
	for i, r := range s.index.rules {
		if s.fits(i) {
			for _, t := range r.Databases {
				out[t.Text] = true
			}
		}
	}
	return out
}

// KeyFor is the same for users and databases that the same rules fit in the same way, but for those that compare names.
func (s Selection) KeyFor(database string) string {
	var key []byte
	for _, list := range [][]int{s.index.others, s.index.byName[database]} {
		for _, i := range list {
			if s.fits(i) {
				key = append(strconv.AppendInt(key, int64(i), 36), ' ', s.Key[i])
			}
		}
	}
	return string(key)
}

// For gives the rules that may decide the user's logins to a database, in the order of the file; "" stands for replication.
func (s Selection) For(database string) []Rule {
	which := slices.Concat(s.index.others, s.index.byName[database])
	slices.Sort(which)
	var out []Rule
	for _, i := range which {
		if s.fits(i) {
			out = append(out, s.index.rules[i])
		}
	}
	return out
}
