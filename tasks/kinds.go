package tasks

import (
	"fmt"
	"sort"
)

// Kind describes one kind of task: the reference page and --help are made from it.
type Kind struct {
	// Name as written in playbooks, snake case. Summary: one line without a full stop.
	Name, Summary string
	// Doc: what it does, what it refuses, in Markdown. Example: YAML of one task entry.
	Doc, Example string
	// New gives a pointer to a struct whose fields carry the tags that Decode reads, with no values yet.
	New func() Task
	// Roles that a host needs for this kind to make sense; none: any host.
	Roles []string
}

// kinds is filled by each kind's file.
var kinds = map[string]Kind{}

// register adds a kind at start-up; a name used twice is a programming error.
func register(k Kind) struct{} {
	if _, ok := kinds[k.Name]; ok {
		panic("tasks: kind registered twice: " + k.Name)
	}
	kinds[k.Name] = k
	return struct{}{}
}

// Kinds gives every kind, by name.
func Kinds() []Kind {
	out := make([]Kind, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Lookup gives one kind.
func Lookup(name string) (Kind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// ParamError is a parameter that a kind does not accept.
type ParamError struct {
	// Param is the parameter's name, "" when the task as a whole is wrong. Text says what is wrong and what is allowed.
	Param, Text string
}

// Error gives the parameter and the text.
func (e *ParamError) Error() string {
	if e.Param == "" {
		return e.Text
	}
	return fmt.Sprintf("%s: %s", e.Param, e.Text)
}

// Validator is a Task that checks its parameters as a whole, before any connection.
type Validator interface {
	// Validate gives every mistake, nil when there is none.
	Validate() []*ParamError
}

// Relying is a Task whose parameters name authorities of the inventory, so that a wrong name is told before any connection.
type Relying interface {
	// Relies gives the names of authorities by the parameter that holds them.
	Relies() map[string][]string
}
