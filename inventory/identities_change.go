package inventory

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What an identity's application wants besides PEM files and a service: a command after each change of the certificate, and other formats.

// Command is a program of the user's on a host: its words, and the OS user who runs it ("": root).
type Command struct {
	Argv []string
	User string
}

// formats that an identity's key and certificate can have; pem is always there.
var formats = []string{"pem", "p12"}

// afterChange reads [WORD, …] or {argv: [WORD, …], user: OS-USER}.
func (r *reader) afterChange(n *yaml.Node, what string) *Command {
	c := &Command{}
	if n.Kind != yaml.MappingNode {
		c.Argv = r.words(n, what)
		return c
	}
	for _, e := range r.entries(n, what) {
		name := what + "." + e.key
		switch e.key {
		case "argv":
			c.Argv = r.words(e.value, name)
		case "user":
			text, ok := r.text(e, name)
			if ok && !osUserRE.MatchString(text) {
				r.add(e.value.Line, "%s: %q is no OS user's name", name, short(text))
			}
			c.User = text
		default:
			r.unknown(e, what, []string{"argv", "user"})
		}
	}
	if c.Argv == nil {
		r.add(n.Line, "%s: the key argv is missing: the command's words", what)
	}
	return c
}

// words reads a command.
func (r *reader) words(n *yaml.Node, what string) []string {
	out := []string{}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.add(n.Line, "%s: wants a list of words: [systemctl, try-reload-or-restart, app]; no shell reads them", what)
		return out
	}
	for _, it := range r.list(n, what, false) {
		if strings.ContainsRune(it.text, 0) {
			r.add(it.line, "%s: a word holds no zero byte", what)
		}
		out = append(out, it.text)
	}
	return out
}

// formats reads the list of formats; p12 tells whether it has p12.
func (r *reader) formats(n *yaml.Node, what string) (p12 bool) {
	for _, it := range r.list(n, what, true) {
		if !slices.Contains(formats, it.text) {
			r.add(it.line, "%s: %q is not one of %s", what, short(it.text), strings.Join(formats, ", "))
		}
		p12 = p12 || it.text == "p12"
	}
	return p12
}
