package inventory

import (
	"fmt"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	cases := map[string]string{
		"db":                 "db",
		"db[1:3]":            "db1 db2 db3",
		"db[08:11]":          "db08 db09 db10 db11",
		"db[8:11]":           "db8 db9 db10 db11",
		"db[1:9:4]":          "db1 db5 db9",
		"db[1:1]":            "db1",
		"db[0:0]":            "db0",
		"r[a:c]":             "ra rb rc",
		"r[A:C:2]":           "rA rC",
		"[eu, us].net":       "eu.net us.net",
		"r[1:2]-[a:b].x":     "r1-a.x r1-b.x r2-a.x r2-b.x",
		"[fd00::1]":          "[fd00::1]",
		"fd00::[1:2]":        "fd00::1 fd00::2",
		"db[1:2":             "! wants its ]",
		"db1:2]":             "! without its [",
		"db]1:2[":            "! wants its ]",
		"db[[1:2]]":          "! do not nest",
		"db[]":               "! no range",
		"db[1]":              "! no range",
		"db[1:]":             "! no range",
		"db[-1:2]":           "! no range",
		"db[1:b]":            "! no range",
		"db[a:C]":            "! small and capital",
		"db[3:1]":            "! backwards",
		"db[01:100]":         "! same number of digits",
		"db[1:5:0]":          "! step",
		"db[1:5:x]":          "! step",
		"db[1:2:3:4]":        "! no range",
		"db[a,,b]":           "! empty item",
		"db[1:999999999]":    "! more than",
		"db[1:99999999999]":  "! no range",
		"db[1:999][1:999]":   "! more than",
		"db[1:9:4000000000]": "db1",
	}
	for text, want := range cases {
		got, err := Expand(text)
		if wantErr, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: got %v, %v; want an error with %q", text, got, err, wantErr)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestParseHop(t *testing.T) {
	cases := map[string]string{
		"gate":                     "gate",
		"ops@gate":                 "ops@gate",
		"ops@gate:2222":            "ops@gate:2222",
		"gate:2222":                "gate:2222",
		"[fd00::1]:22":             "[fd00::1]:22",
		"u@[fd00::1]":              "u@[fd00::1]",
		"fd00::1":                  "[fd00::1]",
		"ssh://gate":               "gate",
		"ssh://ops@gate:2222/":     "ops@gate:2222",
		"ssh://o%70s@[fd00::1]:22": "ops@[fd00::1]:22",
		"me@corp@gate":             "me@corp@gate",
	}
	for text, want := range cases {
		if h, err := parseHop(text); err != nil || h.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, h, err, want)
		}
	}
	for _, text := range []string{"", "@gate", "ops@", "gate:", "gate:0", "gate:65536", "gate:+22", "gate:ssh", "-gate", "-o@gate", "a b", "ga\tte",
		"[fd00::1", "[fd00::1]22", "[fd00::1]x", "$(id)@gate", "u@ga;te", "ssh://", "ssh://%zz@gate"} {
		if h, err := parseHop(text); err == nil {
			t.Errorf("%q is accepted as %s", text, h)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"db_server", "client", "root_ca", "db1", "db2"}
	for name, want := range map[string]string{"db_sever": "db_server", "dbserver": "db_server", "cleint": "client", "Client": "client",
		"db3": "db1", "xyz": "", "abc": "", "": ""} {
		got := suggest(name, known)
		if want != "" {
			want = fmt.Sprintf("; did you mean %s?", want)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
