package playbooks

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testScope() *scope {
	return &scope{layers: []map[string]any{
		{"strong": "e"},
		{"strong": "play", "n": 5, "yes": true, "list": []any{"a", "{{ n }}"}, "map": map[string]any{"k": "{{ name }}"}, "none": nil},
		{"name": "db1", "text": "on {{ name }}", "a": "{{ b }}", "b": "{{ a }}", "self": "{{ self }}", "raw": "x"},
	}}
}

func TestFill(t *testing.T) {
	cases := []struct {
		in   any
		want any
		err  string
	}{
		{in: "plain", want: "plain"},
		{in: 7, want: 7},
		{in: "{{ strong }}", want: "e"},
		{in: "{{n}}", want: 5},
		{in: "{{ yes }}", want: true},
		{in: " {{ yes }} ", want: " true "},
		{in: "{{ n }}\n", want: "5\n"},
		{in: "{{ none }}", want: nil},
		{in: "x{{ none }}y", want: "xy"},
		{in: "n={{ n }}, {{ yes }}", want: "n=5, true"},
		{in: "{{ text }}!", want: "on db1!"},
		{in: "{{ list }}", want: []any{"a", 5}},
		{in: "{{ map }}", want: map[string]any{"k": "db1"}},
		{in: []any{"{{ n }}", "b"}, want: []any{5, "b"}},
		{in: map[string]any{"k": "{{ n }}", "l": 1}, want: map[string]any{"k": 5, "l": 1}},
		{in: "{{ missing | default('x y') }}", want: "x y"},
		{in: `{{ missing | default("}}") }}`, want: "}}"},
		{in: "{{ missing|default(3) }}", want: 3},
		{in: "{{ missing | default(0644) }}", want: "0644"},
		{in: "{{ missing | default(true) }}", want: true},
		{in: "{{ missing | default() }}", want: ""},
		{in: "{{ n | default(3) }}", want: 5},
		{in: "{{ '{{' }} stays", want: "{{ stays"},
		{in: "a }} b", want: "a }} b"},
		{in: "{{ nam }}", err: `variable "nam" is not defined; did you mean name? (or give a default: {{ nam | default('…') }})`},
		{in: "{{ a }}", err: "variables name each other: a → b → a"},
		{in: "{{ self }}", err: "variables name each other: self → self"},
		{in: "x {{ list }}", err: "is a list or map and cannot stand inside a text"},
		{in: "{{ n", err: "{{ has no closing }}"},
		{in: "{{ n + 1 }}", err: "{{ n + 1 }} is not understood"},
		{in: "{{ }}", err: "is not understood"},
		{in: map[string]any{"k": []any{"{{ nope_at_all }}"}}, err: `variable "nope_at_all" is not defined`},
	}
	for _, c := range cases {
		got, err := testScope().fill(c.in)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%v: error %v, want %s", c.in, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%v: %v", c.in, err)
		case c.err == "" && !cmp.Equal(got, c.want):
			t.Errorf("%v: %#v, want %#v", c.in, got, c.want)
		}
	}
}

// FuzzTemplate: filling never panics or hangs, a text without {{ stays as it is, and every name that filling misses is one that
// variablesIn finds.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{ n }}", "x {{ missing | default('}}') }}", "{{ '{{' }}", "{{ a }}", "{{{{ n }}}}", "{{ n | default( }}", "{{\n}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := testScope().fill(text)
		if !strings.Contains(text, "{{") && (err != nil || got != any(text)) {
			t.Errorf("%q became %#v, %v", text, got, err)
		}
		names := map[string]bool{}
		variablesIn(text, names)
		if u := new(undefined); errors.As(err, &u) && !names[u.name] {
			t.Errorf("%q: %s is missing and was not found", text, u.name)
		}
	})
}
