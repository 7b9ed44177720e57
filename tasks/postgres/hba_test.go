package postgres

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// Each case is a file: "major N", the bytes, and one line a rule as describeRule writes it.
func TestReadHBA(t *testing.T) {
	files, err := filepath.Glob("testdata/hba/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var major int
			if _, err := fmt.Sscanf(string(a.Comment), "major %d", &major); err != nil {
				t.Fatal(err)
			}
			rules, err := ReadHBA(a.Files[0].Data, major)
			got := ""
			for _, r := range rules {
				got += describeRule(r) + "\n"
			}
			if err != nil {
				got += "error " + err.Error() + "\n"
			}
			if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func describeRule(r Rule) string {
	if r.Include != "" {
		return fmt.Sprintf("%d %s %s", r.Line, r.Type, r.Include)
	}
	address := map[AddressKind]string{AddressNone: "-", AddressAll: "all", AddressSameHost: "samehost", AddressSameNet: "samenet", AddressName: r.Name}[r.Kind]
	if r.Kind == AddressPrefix {
		address = r.Prefix.String()
	}
	words := []string{fmt.Sprint(r.Line), r.Type, tokenList(r.Databases), tokenList(r.Users), address, r.Method}
	return strings.Join(append(words, r.Options...), " ")
}

func FuzzReadHBA(f *testing.F) {
	f.Add("host all all 127.0.0.1/32 trust\nlocal all all peer map=\"x\"", 15)
	f.Add("host \"a\"\"b\",c @f 10.0.0.0 255.0.0.0 ldap a=b # c\\\n x", 16)
	f.Fuzz(func(t *testing.T, text string, major int) {
		rules, err := ReadHBA([]byte(text), major)
		if err != nil {
			return
		}
		// What can be copied reads back as the same rule.
		for _, r := range rules {
			if r.Kind != AddressPrefix || r.Include != "" {
				continue
			}
			line := copyRule(&r, r.Prefix)
			if strings.ContainsAny(line, "\n\r\\") || isOdd(r) {
				continue
			}
			again, err := ReadHBA([]byte(line), major)
			if err != nil || len(again) != 1 {
				t.Fatalf("%q from %q: %v", line, r.Text, err)
			}
			r.Line, r.Text, again[0].Line, again[0].Text = 0, "", 0, ""
			if diff := cmp.Diff(describeRule(r), describeRule(again[0])); diff != "" {
				t.Fatalf("%q: %s", line, diff)
			}
		}
	})
}

// isOdd finds quoting that no person writes: a quote in the middle of an unquoted word or of an option's name.
func isOdd(r Rule) bool {
	for _, t := range append(append([]Token{}, r.Databases...), r.Users...) {
		if strings.ContainsAny(t.Text, "\"") {
			return true
		}
	}
	for _, o := range r.Options {
		name, _, _ := strings.Cut(o, "=")
		if strings.ContainsAny(name, "\" \t,#") {
			return true
		}
	}
	return strings.ContainsAny(r.Method, " \t,#\"") || strings.ContainsAny(r.Type, " \t,#\"")
}

func TestBlockKeepsTheUsersBytes(t *testing.T) {
	for _, user := range []string{"", "a", "a\n", "\r\nhost\r\n", "# x\\\n", "\n\n# END\n"} {
		joined := JoinBlock([]string{"host all all 10.0.0.0/8 reject", "# x"}, []byte(user))
		block, back, err := SplitBlock(joined)
		if err != nil || string(back) != user || len(block) != 2 {
			t.Errorf("%q: %q %q %v", user, block, back, err)
		}
		if got := string(JoinBlock(nil, back)); got != user {
			t.Errorf("without a block %q becomes %q", user, got)
		}
	}
	// A block that was moved down comes back to the top; nothing else moves.
	_, back, err := SplitBlock([]byte("mine 1\n" + string(JoinBlock([]string{"x"}, []byte("mine 2\n")))))
	if err != nil || string(back) != "mine 1\nmine 2\n" {
		t.Errorf("%q %v", back, err)
	}
	for _, broken := range []string{blockBegin + "\nx\n", blockEnd + "\n", blockBegin + "\n" + blockBegin + "\n" + blockEnd + "\n"} {
		if _, _, err := SplitBlock([]byte(broken)); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
}

func FuzzSplitBlock(f *testing.F) {
	f.Add([]byte(blockBegin + "\nx\n" + blockEnd + "\nhost\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		block, user, err := SplitBlock(text)
		if err == nil && block == nil && string(user) != string(text) {
			t.Fatalf("%q became %q", text, user)
		}
	})
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"app": "app", "all": `"all"`, "replication": `"replication"`, "a b": `"a b"`, `a"b`: `"a""b"`, "+x": `"+x"`, "@x": `"@x"`, "a-b": "a-b",
		"Übung": `"Übung"`, "1a": `"1a"`, "a#b": `"a#b"`} {
		if got := QuoteName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		rules, err := ReadHBA([]byte(rule("host", QuoteName(name), QuoteName(name), everywhere()[0], "reject")), 15)
		if err != nil || len(rules) != 1 || rules[0].Users[0].Text != name || rules[0].Databases[0].Text != name {
			t.Errorf("%s does not read back: %v %v", name, rules, err)
		}
	}
	for _, name := range []string{"", "/x", "a\nb"} {
		if CheckName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestDeadRules(t *testing.T) {
	user, err := ReadHBA([]byte("local all all peer\nhost all bob all md5\nhostssl replication rep all md5\nhostnossl replication rep all md5\nhost all,replication x all md5\n"), 15)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, r := range (Block{CatchAll: "cert"}).Dead(user) {
		got += fmt.Sprint(r.Line, " ")
	}
	if got != "2 4 " {
		t.Errorf("dead are lines %q", got)
	}
	if dead := (Block{}).Dead(user); dead != nil {
		t.Errorf("without a catch-all %v", dead)
	}
}
