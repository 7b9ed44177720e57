package pki

import (
	"reflect"
	"strings"
	"testing"
)

func examplePolicy() Policy {
	return Policy{Folder: "/etc/pgfleet/ca/clients", Profiles: []Profile{ProfileClient}, Names: []string{"app_*", "x y"}, Reserved: []string{"postgres", "repl*"}, Life: 398, PerDay: 50, ListLeast: 90, PassphraseFile: "/etc/pgfleet/clients.pass",
		Below: []PolicyAuthority{{PathLength: 0, Days: 1825, Subject: `CN=below,O=Example\, Inc.`}}}
}

func TestPolicyReadsWhatItWrites(t *testing.T) {
	p := examplePolicy()
	got, err := ParsePolicy([]byte("# a comment\n\n" + p.String()))
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%v\n%+v\n%+v", err, got, p)
	}
}

func TestPolicyMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "folder is missing",
		"life 1\n":                       "folder is missing",
		"folder\n":                       "line 1: folder: has no value",
		"folder /x\nlife a\n":            `line 2: life: "a" is not a number`,
		"folder /x\nlife 100000\n":       "at most five digits",
		"folder /x\nlife -1\n":           "is not a number",
		"folder /x\nlife +1\n":           "is not a number",
		"folder /x\nanything 1\n":        "anything: is not one of",
		"folder /x\nauthority 0 CN=x\n":  "wants PATHLENGTH DAYS SUBJECT",
		"folder /x\nauthority 0 x CN=x":  "is not a number",
		strings.Repeat("#", maxPolicy+1): "too large",
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, wanted %q", text, err, want)
		}
	}
}

func TestPolicyBeyond(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		want   string
	}{
		"the same":               {func(*Policy) {}, ""},
		"another profile":        {func(p *Policy) { p.Profiles = append(p.Profiles, ProfileServer) }, "certificates of profile server"},
		"no profile":             {func(p *Policy) { p.Profiles = nil }, ""},
		"another name":           {func(p *Policy) { p.Names = append(p.Names, "b*") }, "names like b*"},
		"a wider name":           {func(p *Policy) { p.Names = []string{"app*"} }, "names like app*"},
		"a narrower name":        {func(p *Policy) { p.Names = []string{"app_1", "app_?", "app_x*"} }, ""},
		"a user less":            {func(p *Policy) { p.Reserved = p.Reserved[1:] }, "the user postgres"},
		"reserved by a pattern":  {func(p *Policy) { p.Reserved = []string{"p*", "r*"} }, ""},
		"a longer life":          {func(p *Policy) { p.Life = 399 }, "a life of 399 days instead of 398"},
		"a shorter life":         {func(p *Policy) { p.Life = 30 }, ""},
		"more a day":             {func(p *Policy) { p.PerDay = 51 }, "51 certificates a day instead of 50"},
		"any number":             {func(p *Policy) { p.PerDay = 0 }, "0 certificates a day"},
		"shorter lists":          {func(p *Policy) { p.ListLeast = 1 }, "lists of 1 days instead of 90"},
		"another passphrase":     {func(p *Policy) { p.PassphraseFile = "/etc/shadow" }, "the file with a passphrase /etc/shadow"},
		"no passphrase":          {func(p *Policy) { p.PassphraseFile = "" }, ""},
		"another authority":      {func(p *Policy) { p.Below = append(p.Below, PolicyAuthority{0, 1, "CN=x"}) }, "an authority CN=x"},
		"an authority's path":    {func(p *Policy) { p.Below[0].PathLength = 1 }, "a longer life or path"},
		"no authority any more":  {func(p *Policy) { p.Below = nil }, ""},
		"an authority's less":    {func(p *Policy) { p.Below[0].Days = 1 }, ""},
		"names only by one mark": {func(p *Policy) { p.Names = []string{"*pp_"} }, "names like *pp_"},
	} {
		p := examplePolicy()
		c.change(&p)
		if got := strings.Join(p.Beyond(examplePolicy()), ", "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, wanted %q", name, got, c.want)
		}
	}
}

// Whatever is read is written so that it is read the same.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(examplePolicy().String()))
	f.Add([]byte("folder /x\nname  a\nauthority 0 1  CN=x \n#\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			return
		}
		again, err := ParsePolicy([]byte(p.String()))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%q: %v\n%+v\n%+v", data, err, p, again)
		}
		if more := p.Beyond(p); len(more) > 0 && len(p.Below) < 2 {
			t.Errorf("%q is beyond itself: %q", data, more)
		}
	})
}
