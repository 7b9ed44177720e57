package postgres

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The rules that are selected for a user and a database decide each login as the whole file does, for generated files and every login over the same words.
func TestSelectedRulesDecideTheSame(t *testing.T) {
	reader := Reader{Major: 16, Groups: func(role string) []string {
		if role == "carol" {
			return []string{"staff", "app"}
		}
		return nil
	}}
	logins := allLogins()
	lines := func(rules []*Rule) (out []int) {
		for _, r := range rules {
			line := 0
			if r != nil {
				line = r.Line
			}
			out = append(out, line)
		}
		return out
	}
	for seed := range uint64(500) {
		text := randomFile(rand.New(rand.NewPCG(seed, 2)))
		if seed%5 == 0 {
			text = "include_if_exists more.conf\nhost @customers,app @people samenet reject\nhost /^ot all all trust\nhost app,app /b 10.0.0.0/8 md5\n" + text
		}
		rules, err := ReadHBA([]byte(text), 16)
		if err != nil {
			t.Fatal(text, err)
		}
		index, selected := reader.Index(rules), map[string]Selection{}
		for _, l := range logins {
			s, ok := selected[l.User]
			if !ok {
				s = index.Of(l.User)
				selected[l.User] = s
			}
			if want, got := lines(reader.Deciding(rules, l)), lines(reader.Deciding(s.For(l.Database), l)); fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("%+v is decided by lines %v, of those selected by %v\n%s", l, want, got, text)
			}
		}
	}
}
