package postgres

import (
	"maps"
	"strings"
	"testing"
)

func TestReadConfig(t *testing.T) {
	text := `# comment
listen_addresses = '*'   # remark
Port 5433
work_mem=8MB
log_line_prefix = 'it''s \' \\ \101%m '
custom.name = -1.5e3
include_dir 'conf.d'
INCLUDE = '/x/y'
shared_preload_libraries = ''
port = 5434`
	want := map[string]string{"listen_addresses": "*", "port": "5434", "work_mem": "8MB", "log_line_prefix": `it's ' \ A%m `, "custom.name": "-1.5e3",
		"include_dir": "conf.d", "include": "/x/y", "shared_preload_libraries": ""}
	got, err := SettingsOf([]byte(text))
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
	for text, line := range map[string]string{"a = 'x": "line 1", "ok = 1\n= 5": "line 2", "a = 1 2": "line 1", "a": "line 1", "\n\na = 'x' y": "line 3"} {
		if _, err := ReadConfig([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), line) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("ssl", "on", "it's \\ \n")
	f.Fuzz(func(t *testing.T, name, a, b string) {
		if CheckSetting(name, a, 15) != nil || strings.ContainsRune(b, 0) || name != strings.ToLower(name) {
			return
		}
		set := map[string]string{name: a, "zz_other": b}
		got, err := SettingsOf(RenderSettings(set))
		if err != nil || !maps.Equal(got, set) {
			t.Fatalf("%q became %q, %v\n%s", set, got, err, RenderSettings(set))
		}
	})
}

func FuzzReadConfig(f *testing.F) {
	f.Add([]byte("a = 'b''c' # d\ninclude '/x'"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ReadConfig(text)
		const path = "/etc/pgfleet/15-main/pgfleet.conf"
		with := WithInclude(text, path)
		if again := WithInclude(with, path); string(again) != string(with) {
			t.Fatalf("twice is not once:\n%q\n%q", with, again)
		}
	})
}

func TestWithInclude(t *testing.T) {
	const path = "/etc/pgfleet/15-main/pgfleet.conf"
	line := IncludeLine(path) + "\n"
	for before, want := range map[string]string{
		"":                          line,
		"a = 1":                     "a = 1\n" + line,
		"a = 1\r\n":                 "a = 1\r\n" + line,
		"a = 1\n" + line:            "a = 1\n" + line,
		line + "a = 1\n":            "a = 1\n" + line,
		"x\n" + line + "y\n" + line: "x\ny\n" + line,
	} {
		if got := string(WithInclude([]byte(before), path)); got != want {
			t.Errorf("%q becomes %q", before, got)
		}
	}
	if found, after := Includes([]byte(line+"port = 1\n# c\n"), path); !found || len(after) != 1 || after[0].Name != "port" {
		t.Error(found, after)
	}
}

func TestCheckSetting(t *testing.T) {
	for _, c := range []struct {
		name, value string
		major       int
		ok          bool
	}{
		{"ssl", "on", 15, true}, {"ssl", "perhaps", 15, false}, {"ssl_groups", "X25519", 17, false}, {"ssl_groups", "X25519", 18, true}, {"ssl_groups", "X25519", 0, true},
		{"ssl_crl_dir", "/x", 13, false}, {"ssl_crl_dir", "/x", 14, true}, {"ssl_min_protocol_version", "TLSv1.2", 12, true}, {"ssl_min_protocol_version", "1.2", 12, false},
		{"ssl_tls13_ciphers", "TLS_AES_256_GCM_SHA384", 17, false}, {"ssl_tls13_ciphers", "TLS_AES_256_GCM_SHA384", 18, true}, {"ssl_sni", "on", 18, false}, {"ssl_sni", "on", 19, true},
		{"ssl_ecdh_curve", "secp384r1", 12, true}, {"ssl_ecdh_curve", "X25519", 17, false}, {"ssl_ecdh_curve", "X25519", 18, true}, {"ssl_ecdh_curve", "P-256", 15, false},
		{"ssl_ecdh_curve", "prime256v1:secp384r1", 17, false}, {"ssl_ecdh_curve", "prime256v1:secp384r1", 18, true}, {"ssl_ecdh_curve", "prime256v1:secp384r1", 0, true}, {"ssl_ecdh_curve", "", 15, false},
		{"ssl_min_protocol_version", "", 15, false}, {"ssl_min_protocol_version", "tlsv1.3", 12, true}, {"ssl_prefer_server_ciphers", "maybe", 15, false},
		{"hba_file", "/x", 15, false}, {"include", "/x", 15, false}, {"", "x", 15, false}, {"a b", "x", 15, false}, {"work_mem", "8MB", 15, true}, {"ssl_max_protocol_version", "", 15, true},
	} {
		if err := CheckSetting(c.name, c.value, c.major); (err == nil) != c.ok {
			t.Errorf("%s = %s on %d: %v", c.name, c.value, c.major, err)
		}
	}
	if CheckVersions(map[string]string{"ssl_min_protocol_version": "TLSv1.3", "ssl_max_protocol_version": "TLSv1.2"}) == nil {
		t.Error("highest below lowest is accepted")
	}
	if err := CheckSetting("ssl_groups", "X25519", 16); err == nil || !strings.Contains(err.Error(), "from PostgreSQL 18 on, this is 16: use ssl_ecdh_curve") {
		t.Errorf("it is not said what to do instead: %v", err)
	}
	if CheckAliases(map[string]string{"ssl_ecdh_curve": "a", "ssl_groups": "a"}) == nil || CheckAliases(map[string]string{"ssl_ecdh_curve": "a", "ssl": "on"}) != nil {
		t.Error("two names of one setting")
	}
	for major, want := range map[int]string{12: "ssl_ecdh_curve", 17: "ssl_ecdh_curve", 18: "ssl_groups", 19: "ssl_groups"} {
		if set := ForVersion(map[string]string{"ssl_ecdh_curve": "x", "ssl": "on"}, major); len(set) != 2 || set[want] != "x" || set["ssl"] != "on" {
			t.Errorf("%d: %v", major, set)
		}
	}
}

func TestSameValue(t *testing.T) {
	for _, c := range []struct {
		kind, unit, written, shown string
		same                       bool
	}{
		{"bool", "", "true", "on", true}, {"bool", "", "off", "on", false}, {"integer", "kB", "8MB", "8192", true}, {"integer", "8kB", "128MB", "16384", true},
		{"integer", "ms", "1min", "60000", true}, {"integer", "s", "5min", "301", false}, {"enum", "", "tlsv1.2", "TLSv1.2", true}, {"string", "", "a", "A", false},
		{"real", "", "0.50", "0.5", true}, {"integer", "", "0x10", "16", true}, {"integer", "kB", "8 XB", "8", false},
	} {
		if got := SameValue(c.kind, c.unit, c.written, c.shown); got != c.same {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestReadIdent(t *testing.T) {
	got, err := ReadIdent([]byte("# x\napps \"CN=a b\" dbuser1 # y\n\nm /^(.*)@x$ \\1\n"), 15)
	if err != nil || len(got) != 2 || got[0].System.Text != "CN=a b" || got[1].Role.Text != `\1` || got[1].Line != 4 {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"a b", "a b c d", "a b,c d"} {
		if _, err := ReadIdent([]byte(bad), 15); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzReadIdent(f *testing.F) {
	f.Add([]byte("a b c\ninclude x"), 16)
	f.Fuzz(func(t *testing.T, text []byte, major int) {
		for _, m := range func() []Mapping { l, _ := ReadIdent(text, major); return l }() {
			if m.Line < 1 {
				t.Fatalf("%+v", m)
			}
		}
	})
}
