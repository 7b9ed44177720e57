package playbooks

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/tasks"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// scope gives variables their values while templates are filled. Layers are searched in order, the strongest first; a variable may itself
// hold templates.
type scope struct {
	layers []map[string]any
	// busy holds the variables that are being filled, to find those that name each other.
	busy []string
}

// undefined is a template that names a variable nobody has set.
type undefined struct{ name, suggestion string }

func (e *undefined) Error() string {
	return fmt.Sprintf("variable %q is not defined%s (or give a default: {{ %s | default('…') }})", e.name, e.suggestion, e.name)
}

func (s *scope) lookup(name string) (any, bool) {
	for _, layer := range s.layers {
		if v, ok := layer[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// get gives a variable's value with its own templates filled.
func (s *scope) get(name string) (any, error) {
	v, ok := s.lookup(name)
	if !ok {
		names := map[string]bool{}
		for _, layer := range s.layers {
			for n := range layer {
				names[n] = true
			}
		}
		return nil, &undefined{name, tasks.Suggest(name, names)}
	}
	if !hasTemplate(v) {
		return v, nil
	}
	for i, b := range s.busy {
		if b == name {
			return nil, fmt.Errorf("variables name each other: %s", strings.Join(append(s.busy[i:len(s.busy):len(s.busy)], name), " → "))
		}
	}
	s.busy = append(s.busy, name)
	defer func() { s.busy = s.busy[:len(s.busy)-1] }()
	return s.fill(v)
}

// hasTemplate tells whether a value, or one inside it, holds {{.
func hasTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case []any:
		for _, item := range v {
			if hasTemplate(item) {
				return true
			}
		}
	case map[string]any:
		for _, item := range v {
			if hasTemplate(item) {
				return true
			}
		}
	}
	return false
}

// fill replaces the templates in a value. What holds none comes back as it is; maps and lists are copied, never changed.
func (s *scope) fill(v any) (any, error) {
	if !hasTemplate(v) {
		return v, nil
	}
	switch v := v.(type) {
	case string:
		return s.fillText(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			filled, err := s.fill(item)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range sortedKeys(v) {
			filled, err := s.fill(v[name])
			if err != nil {
				return nil, err
			}
			out[name] = filled
		}
		return out, nil
	}
	return v, nil
}

// fillText fills one text. When the whole text is one template, the value keeps its type.
func (s *scope) fillText(text string) (any, error) {
	var out strings.Builder
	rest := text
	for {
		before, after, found := strings.Cut(rest, "{{")
		if !found {
			out.WriteString(rest)
			return out.String(), nil
		}
		inner, length, err := expression(after)
		if err != nil {
			return nil, fmt.Errorf("template in %q: %w", text, err)
		}
		value, err := s.evaluate(inner)
		if err != nil {
			return nil, err
		}
		tail := after[length:]
		if out.Len() == 0 && before == "" && tail == "" {
			return value, nil
		}
		switch value.(type) {
		case []any, map[string]any:
			return nil, fmt.Errorf("template in %q: {{ %s }} is a list or map and cannot stand inside a text", text, inner.name)
		case nil:
			value = ""
		}
		out.WriteString(before)
		fmt.Fprint(&out, value)
		rest = tail
	}
}

func (s *scope) evaluate(e expr) (any, error) {
	if e.name == "" {
		return e.literal, nil
	}
	if _, ok := s.lookup(e.name); !ok && e.hasDefault {
		return e.literal, nil
	}
	return s.get(e.name)
}

// expr is what stands between {{ and }}: a quoted text, or a variable with or without a default.
type expr struct {
	name       string
	hasDefault bool
	literal    any
}

var (
	quotedExpr   = regexp.MustCompile(`^\s*(?:'([^']*)'|"([^"]*)")\s*\}\}`)
	variableExpr = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(\|\s*default\(\s*(?:'([^']*)'|"([^"]*)"|([^'"(){}\s]*))\s*\)\s*)?\}\}`)
)

// expression reads up to and with the closing braces and gives the length read.
func expression(text string) (e expr, length int, err error) {
	if m := quotedExpr.FindStringSubmatch(text); m != nil {
		return expr{literal: m[1] + m[2]}, len(m[0]), nil
	}
	m := variableExpr.FindStringSubmatchIndex(text)
	if m == nil {
		if !strings.Contains(text, "}}") {
			return e, 0, fmt.Errorf("{{ has no closing }}")
		}
		inner, _, _ := strings.Cut(text, "}}")
		return e, 0, fmt.Errorf("{{%s}} is not understood; write {{ name }} or {{ name | default('value') }}", inner)
	}
	group := func(i int) (string, bool) {
		if m[2*i] < 0 {
			return "", false
		}
		return text[m[2*i]:m[2*i+1]], true
	}
	e.name, _ = group(1)
	_, e.hasDefault = group(2)
	for _, i := range []int{3, 4} {
		if s, ok := group(i); ok {
			e.literal = s
		}
	}
	if s, ok := group(5); ok {
		e.literal = bare(s)
	}
	return e, m[1], nil
}

// bare gives an unquoted default its type: a number, true, false, or the text.
func bare(s string) any {
	switch s {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
		return n
	}
	return s
}

// variablesIn gives the names of the variables that a value's templates use.
func variablesIn(v any, names map[string]bool) {
	switch v := v.(type) {
	case string:
		for {
			_, after, found := strings.Cut(v, "{{")
			if !found {
				return
			}
			if e, length, err := expression(after); err == nil {
				names[e.name] = true
				after = after[length:]
			}
			v = after
		}
	case []any:
		for _, item := range v {
			variablesIn(item, names)
		}
	case map[string]any:
		for _, item := range v {
			variablesIn(item, names)
		}
	}
}
