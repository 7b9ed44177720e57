package events

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSchemaIsTheCode: the schema has the keys of the structs, and the types and kinds of the constants.
func TestSchemaIsTheCode(t *testing.T) {
	var schema struct {
		Required   []string
		Properties map[string]struct {
			Enum  []string
			Const *int
		}
		Defs map[string]struct {
			Required   []string
			Properties map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	keys, required := fields(reflect.TypeOf(Event{}))
	if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(required, sorted(schema.Required)); diff != "" {
		t.Error(diff)
	}
	keys, required = fields(reflect.TypeOf(Cell{}))
	if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(schema.Defs["cell"].Properties))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(required, sorted(schema.Defs["cell"].Required)); diff != "" {
		t.Error(diff)
	}
	types := []Type{RunStarted, PlayStarted, TaskStarted, Task, Host, Notice, Certificate, Lock, RunFinished}
	if diff := cmp.Diff(words(types), schema.Properties["type"].Enum); diff != "" {
		t.Error(diff)
	}
	kinds := []Kind{OK, WouldChange, Changed, Skipped, Failed, Unreachable, Unverified, RolledBack, Interrupted}
	if diff := cmp.Diff(words(kinds), schema.Properties["kind"].Enum); diff != "" {
		t.Error(diff)
	}
	if c := schema.Properties["v"].Const; c == nil || *c != Version {
		t.Error("version")
	}
}

// fields gives the JSON keys of a struct, and those that are always there.
func fields(t reflect.Type) (all, required []string) {
	for i := range t.NumField() {
		name, opt, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		all = append(all, name)
		if opt != "omitempty" {
			required = append(required, name)
		}
	}
	return sorted(all), sorted(required)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = string(x)
	}
	return out
}
