package inventory

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// authorityPassphrase reads prompt, {host_file: PATH}, or a reference. Messages never repeat what is written: it may be the secret.
func (r *reader) authorityPassphrase(a *authorityDraft, e entry, what string) {
	const want = "wants prompt, {env: NAME}, {file: PATH}, {command: [WORD, …]}, or {host_file: PATH} for a file on the authority's host"
	n := e.value
	if n.Kind == yaml.ScalarNode {
		if n.Value != "prompt" {
			r.add(n.Line, "%s: %s; a passphrase as plain text does not belong in an inventory", what, want)
			return
		}
		a.Passphrase = map[string]any{"prompt": true}
		return
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		switch n.Content[0].Value {
		case "host_file":
			text, ok := r.text(r.entries(n, what)[0], what+".host_file")
			if ok && (!path.IsAbs(text) || path.Clean(text) != text || strings.ContainsAny(text, "\x00\r\n")) {
				r.add(n.Line, "%s.host_file: wants the absolute path of a file on the authority's host", what)
				return
			}
			a.Passphrase = map[string]any{"host_file": text}
			return
		case "env", "file", "command":
			a.Passphrase, _ = r.reference(n, what)
			return
		}
	}
	r.add(n.Line, "%s: %s", what, want)
}
