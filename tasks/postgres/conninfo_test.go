package postgres

import (
	"strings"
	"testing"
)

func TestConnInfo(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"host=db1 port=5432":         "host=db1 port=5432",
		" host = 'db1'\tuser\n=\nx ": "host=db1 user=x",
		`password='it\'s \\ two'`:    `password='it\'s \\ two'`,
		`password=it\'s\ x`:          `password='it\'s x'`,
		"a=1 b=2 a=3":                "a=3 b=2",
		"sslrootcert='' user=x":      "sslrootcert='' user=x",
		`application_name='a b'`:     `application_name='a b'`,
	} {
		c, err := ReadConnInfo(text)
		if err != nil || c.String() != want {
			t.Errorf("%q: %q, %v; want %q", text, c, err, want)
		}
		again, err := ReadConnInfo(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%q: written as %q, read again as %q, %v", text, c, again, err)
		}
	}
	for _, text := range []string{"host", "host=db1 port", "=x", "password='hunter2", "password='it''s' x=1", "postgresql://u:hunter2@db1/", "password hunter2"} {
		c, err := ReadConnInfo(text)
		if err == nil {
			t.Errorf("%q: read as %q", text, c)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password: %v", text, err)
		}
	}
	c, _ := ReadConnInfo("host=db1 password='hunter2 x' sslmode=prefer channel_binding=require")
	next := c.Without("channel_binding").With(Parameter{"sslmode", "verify-full"}, Parameter{"sslcert", "/a b/c"})
	if got, want := next.String(), "host=db1 password='hunter2 x' sslmode=verify-full sslcert='/a b/c'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if strings.Contains(next.Shown(), "hunter2") || !strings.Contains(next.Shown(), "host=db1") {
		t.Errorf("shown as %s", next.Shown())
	}
	if c.String() != "host=db1 password='hunter2 x' sslmode=prefer channel_binding=require" {
		t.Errorf("the first one changed: %s", c)
	}
}
