package tasks

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Param describes one parameter of a kind, for help and reference.
type Param struct {
	// Name as written; Type is text, yes/no, number, duration, list, map or value; Default is shown as written.
	Name, Type, Doc, Default string
	Required                 bool
	// Allowed values, none: any.
	Allowed []string
	// Rest: every key that no other parameter has ends here.
	Rest bool

	field int
}

// Params lists the parameters of a kind, from its struct's tags:
//
//	Path string `param:"path,required" doc:"absolute path" `
//	Mode string `param:"mode" default:"0644" doc:"octal permission bits"`
//	Enforce string `param:"enforce" allowed:"cert verify-full" doc:"…"`
//	Settings map[string]string `param:",rest" doc:"any other setting"`
//
// Field types: string, bool, int, time.Duration (2h, 365d), []string, map[string]string, any.
func Params(k Kind) []Param {
	t := reflect.TypeOf(k.New()).Elem()
	var out []Param
	for i := 0; i < t.NumField(); i++ {
		tag, ok := t.Field(i).Tag.Lookup("param")
		if !ok {
			continue
		}
		name, opts, _ := strings.Cut(tag, ",")
		p := Param{Name: name, Doc: t.Field(i).Tag.Get("doc"), Default: t.Field(i).Tag.Get("default"),
			Required: opts == "required", Rest: opts == "rest", Type: typeName(t.Field(i).Type), field: i}
		if a := t.Field(i).Tag.Get("allowed"); a != "" {
			p.Allowed = strings.Fields(a)
		}
		out = append(out, p)
	}
	return out
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeOf(time.Duration(0)):
		return "duration"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "yes/no"
	case t.Kind() == reflect.Int:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map:
		return "map"
	}
	return "value"
}

// Decode makes a task of a kind from values as YAML or key=value gives them: strings are read as the field's type. Every mistake is
// returned, unknown names with the nearest known one.
func Decode(k Kind, values map[string]any) (Task, []*ParamError) {
	task := k.New()
	v := reflect.ValueOf(task).Elem()
	params := Params(k)
	var errs []*ParamError
	known := map[string]bool{}
	rest := -1
	for _, p := range params {
		if p.Rest {
			rest = p.field
			continue
		}
		known[p.Name] = true
		value, given := values[p.Name]
		if given && value == nil && p.Type != "value" {
			errs = append(errs, &ParamError{p.Name, "has no value"})
			continue
		}
		if !given {
			if p.Required {
				errs = append(errs, &ParamError{p.Name, "is required: " + p.Doc})
				continue
			}
			if p.Default == "" {
				continue
			}
			value = p.Default
		}
		if err := set(v.Field(p.field), value); err != nil {
			errs = append(errs, &ParamError{p.Name, err.Error()})
			continue
		}
		if s := fmt.Sprint(v.Field(p.field).Interface()); len(p.Allowed) > 0 && !contains(p.Allowed, s) {
			errs = append(errs, &ParamError{p.Name, fmt.Sprintf("%q is not one of %s", s, strings.Join(p.Allowed, ", "))})
		}
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if known[name] {
			continue
		}
		if rest >= 0 && values[name] == nil {
			errs = append(errs, &ParamError{name, "has no value"})
			continue
		}
		if rest >= 0 {
			f := v.Field(rest)
			if f.IsNil() {
				f.Set(reflect.MakeMap(f.Type()))
			}
			f.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(scalar(values[name])))
			continue
		}
		errs = append(errs, &ParamError{name, "is not a parameter of " + k.Name + Suggest(name, known)})
	}
	if len(errs) == 0 {
		if val, ok := task.(Validator); ok {
			errs = val.Validate()
		}
	}
	return task, errs
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// scalar gives a YAML scalar as the text that the user wrote: true is "on", since that is what PostgreSQL calls it.
func scalar(v any) string {
	if b, ok := v.(bool); ok {
		if b {
			return "on"
		}
		return "off"
	}
	return fmt.Sprint(v)
}

func set(f reflect.Value, value any) error {
	switch {
	case f.Type() == reflect.TypeOf(time.Duration(0)):
		d, err := pki.ParseDuration(fmt.Sprint(value))
		if err != nil {
			return err
		}
		f.SetInt(int64(d))
		return nil
	case f.Kind() == reflect.Interface:
		if value != nil {
			f.Set(reflect.ValueOf(value))
		}
		return nil
	case f.Kind() == reflect.String:
		if !isScalar(value) {
			return fmt.Errorf("wants one text, not nothing, a list or a map")
		}
		f.SetString(fmt.Sprint(value))
		return nil
	case f.Kind() == reflect.Bool:
		b, ok := ParseBool(value)
		if !ok {
			return fmt.Errorf("%v is neither yes nor no", value)
		}
		f.SetBool(b)
		return nil
	case f.Kind() == reflect.Int:
		n, err := strconv.ParseInt(fmt.Sprint(value), 10, 0)
		if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
			return fmt.Errorf("%v is not a whole number", value)
		}
		f.SetInt(n)
		return nil
	case f.Kind() == reflect.Slice:
		list, err := stringList(value)
		if err != nil {
			return err
		}
		f.Set(reflect.ValueOf(list))
		return nil
	case f.Kind() == reflect.Map:
		m, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("wants a map of names to values")
		}
		out := map[string]string{}
		for name, item := range m {
			if !isScalar(item) {
				return fmt.Errorf("%s wants one text", name)
			}
			out[name] = scalar(item)
		}
		f.Set(reflect.ValueOf(out))
		return nil
	}
	return fmt.Errorf("field of type %s cannot be set", f.Type())
}

func isScalar(v any) bool {
	switch v.(type) {
	case nil, []any, []string, map[string]any:
		return false
	}
	return true
}

// ParseBool reads true, yes, on, 1 and their opposites, in any case.
func ParseBool(v any) (value, ok bool) {
	switch strings.ToLower(fmt.Sprint(v)) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

func stringList(value any) ([]string, error) {
	switch list := value.(type) {
	case []string:
		return list, nil
	case []any:
		out := make([]string, len(list))
		for i, item := range list {
			if !isScalar(item) {
				return nil, fmt.Errorf("item %d is not a text", i+1)
			}
			out[i] = fmt.Sprint(item)
		}
		return out, nil
	case map[string]any:
		return nil, fmt.Errorf("wants a list")
	}
	var out []string
	for _, part := range strings.Split(fmt.Sprint(value), ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out, nil
}

// Suggest gives "; did you mean X?" for the known name nearest to name, or "" when none is near.
func Suggest(name string, known map[string]bool) string {
	best, bestDist := "", 3
	for k := range known {
		if d := distance(name, k); d < bestDist || d == bestDist && k < best {
			best, bestDist = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, prev+cost)
			prev, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
