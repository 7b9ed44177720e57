package tasks

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgfleet/pgfleet/transport"
)

// everyType has a parameter of each type that Decode knows.
type everyType struct {
	Text   string            `param:"text,required" doc:"some text"`
	Flag   bool              `param:"flag" default:"yes" doc:"a flag"`
	Number int               `param:"number" doc:"a number"`
	Life   time.Duration     `param:"life" default:"2d" doc:"a time"`
	List   []string          `param:"list" doc:"a list"`
	Map    map[string]string `param:"map" doc:"a map"`
	Any    any               `param:"any" doc:"anything"`
	Choice string            `param:"choice" allowed:"red green" doc:"a colour"`
}

func (*everyType) Needs(*Host) []transport.Step                  { return nil }
func (*everyType) Check(context.Context, *Host) (*Change, error) { return nil, nil }

// anyName takes every parameter.
type anyName struct {
	Rest map[string]string `param:",rest" doc:"whatever"`
}

func (*anyName) Needs(*Host) []transport.Step                  { return nil }
func (*anyName) Check(context.Context, *Host) (*Change, error) { return nil, nil }

var everyKind = Kind{Name: "every", New: func() Task { return &everyType{} }}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values map[string]any
		want   everyType
	}{
		{"defaults", map[string]any{"text": "x"}, everyType{Text: "x", Flag: true, Life: 48 * time.Hour}},
		{"YAML", map[string]any{"text": 7, "flag": false, "number": 3, "life": "90m", "list": []any{"a", 1}, "map": map[string]any{"k": true}, "any": 1.5, "choice": "red"},
			everyType{Text: "7", Number: 3, Life: 90 * time.Minute, List: []string{"a", "1"}, Map: map[string]string{"k": "on"}, Any: 1.5, Choice: "red"}},
		{"words", map[string]any{"text": "a,b", "flag": "NO", "number": "-4", "life": "1y", "list": "a, b,,c"},
			everyType{Text: "a,b", Number: -4, Life: 365 * 24 * time.Hour, List: []string{"a", "b", "c"}}},
		{"nothing for anything", map[string]any{"text": "x", "any": nil}, everyType{Text: "x", Flag: true, Life: 48 * time.Hour}},
	} {
		task, errs := Decode(everyKind, tt.values)
		if len(errs) > 0 {
			t.Errorf("%s: %v", tt.name, errs)
		}
		if diff := cmp.Diff(&tt.want, task); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{}, "text: is required: some text"},
		{map[string]any{"text": nil}, "text: has no value"},
		{map[string]any{"text": []any{"a"}}, "text: wants one text, not nothing, a list or a map"},
		{map[string]any{"text": "x", "flag": "perhaps"}, "flag: perhaps is neither yes nor no"},
		{map[string]any{"text": "x", "number": "1.5"}, "number: 1.5 is not a whole number"},
		{map[string]any{"text": "x", "number": 1 << 40}, "number: 1099511627776 is not a whole number"},
		{map[string]any{"text": "x", "life": "soon"}, `life: "soon" is not a duration; write for example 365d, 12h, 10y`},
		{map[string]any{"text": "x", "list": []any{[]any{}}}, "list: item 1 is not a text"},
		{map[string]any{"text": "x", "map": "a"}, "map: wants a map of names to values"},
		{map[string]any{"text": "x", "choice": "blue"}, `choice: "blue" is not one of red, green`},
		{map[string]any{"text": "x", "numbr": 1}, "numbr: is not a parameter of every; did you mean number?"},
		{map[string]any{"text": "x", "zzzzzzzz": 1}, "zzzzzzzz: is not a parameter of every"},
	} {
		_, errs := Decode(everyKind, tt.values)
		var texts []string
		for _, e := range errs {
			texts = append(texts, e.Error())
		}
		if got := strings.Join(texts, "\n"); got != tt.want {
			t.Errorf("%v:\n got %s\nwant %s", tt.values, got, tt.want)
		}
	}
}

func TestDecodeRest(t *testing.T) {
	task, errs := Decode(Kind{Name: "any", New: func() Task { return &anyName{} }}, map[string]any{"ssl": true, "port": 5432})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if diff := cmp.Diff(&anyName{map[string]string{"ssl": "on", "port": "5432"}}, task); diff != "" {
		t.Error(diff)
	}
}

// Every kind's parameters are documented and every default is a value that Decode takes.
func TestKindsAreWhole(t *testing.T) {
	if len(Kinds()) < 10 {
		t.Fatalf("only %d kinds", len(Kinds()))
	}
	for _, k := range Kinds() {
		if k.Summary == "" || k.Doc == "" || k.Example == "" || strings.HasSuffix(k.Summary, ".") {
			t.Errorf("%s lacks summary, doc or example, or its summary ends with a full stop", k.Name)
		}
		for _, p := range Params(k) {
			if p.Doc == "" {
				t.Errorf("%s.%s has no doc", k.Name, p.Name)
			}
		}
		_, errs := Decode(k, map[string]any{})
		for _, e := range errs {
			if e.Param != "" && !strings.HasPrefix(e.Text, "is required") {
				t.Errorf("%s: default refused: %v", k.Name, e)
			}
		}
	}
}
