package inventory

import (
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// authorityPassphrase reads prompt, {host_file: PATH}, or a reference. Messages never repeat what is written: it may be the secret.
func (r *reader) authorityPassphrase(a *authorityDraft, e entry, what string) {
	const want = "wants prompt, {env: NAME}, {file: PATH}, {command: [WORD, …]}, or {host_file: PATH} for a file on the authority's host"
	n := e.value
	if n.Kind == yaml.ScalarNode {
		if n.Value != "prompt" {
			r.add(n.Line, "%s: %s; the secret itself does not belong in an inventory", what, want)
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

// tokenRE is a URI of a key in a token (RFC 7512): a path of attributes, and the module.
var tokenRE = regexp.MustCompile(`^pkcs11:[A-Za-z0-9._~%=;:@+-]+(\?module-path=/[A-Za-z0-9._~%/+-]+)?$`)

// authorityKey reads the URI of a key in a token. Messages do not repeat it: it may hold a PIN.
func (r *reader) authorityKey(a *authorityDraft, e entry, what string) {
	text, ok := r.text(e, what)
	named := false
	for _, attribute := range strings.Split(strings.TrimPrefix(text, "pkcs11:"), ";") {
		named = named || strings.HasPrefix(attribute, "object=") || strings.HasPrefix(attribute, "id=")
	}
	switch {
	case !ok:
	case strings.Contains(text, "pin-value") || strings.Contains(text, "pin-source"):
		r.add(e.value.Line, "%s: a PIN does not belong into it: write pin: with a reference", what)
	case !tokenRE.MatchString(text) || !named:
		r.add(e.value.Line, "%s: wants the URI of a key in a token, with its object or id: pkcs11:token=ca;object=clients, and ?module-path=/PATH where the token's module is not p11-kit's", what)
	default:
		a.Key = text
	}
}

// checkKey looks at what goes together.
func (r *reader) checkKey(a *authorityDraft, what string) {
	given := func(key string) bool { _, ok := a.lines[key]; return ok }
	switch {
	case given("key") && given("passphrase"):
		r.add(a.at("passphrase"), "%s.passphrase: a key in a token has a PIN: write pin", what)
	case given("key") && !given("pin"):
		r.add(a.at("key"), "%s: the key pin is missing: where the PIN of its token comes from, for example pin: prompt", what)
	case given("pin") && !given("key"):
		r.add(a.at("pin"), "%s.pin: goes with key, the URI of a key in a token; a key in a file has a passphrase", what)
	case given("key") && a.KeyType == "ed25519":
		r.add(a.at("key_type"), "%s.key_type: ed25519 does not work in a token: openssl's engine pkcs11 cannot sign with it", what)
	}
}
