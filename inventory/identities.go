package inventory

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// canaryPrefix begins the names of pgfleet's own test certificates.
const canaryPrefix = "pgfleet-canary-"

// maxIdentifier is the length of a PostgreSQL name in bytes (NAMEDATALEN - 1), which is also within the 64 characters of a common name
// (RFC 5280 appendix A, ub-common-name).
const maxIdentifier = 63

var identityKeys = []string{"user", "databases", "default", "allow_privileged", "password", "after_change", "formats", "replication", "home"}

// identities reads {osuser: [dbuser, {user: x, …}]}.
func (h *hostEntry) identities(e entry) {
	what := h.what + ".identities"
	var out []Identity
	for _, os := range h.r.entries(e.value, what) {
		if !osUserRE.MatchString(os.key) {
			h.r.add(os.line, "%s: %q is no OS user's name", what, short(os.key))
			continue
		}
		out = append(out, h.r.osUser(os, what+"."+os.key)...)
	}
	for _, d := range h.hosts {
		d.Identities, d.identitiesLine = out, e.line
	}
}

// osUser reads the identities of one OS user.
func (r *reader) osUser(os entry, what string) []Identity {
	nodes := []*yaml.Node{os.value}
	if os.value.Kind == yaml.SequenceNode {
		nodes = os.value.Content
	}
	if len(nodes) == 0 || isNull(os.value) {
		r.add(os.line, "%s: wants a list of database users", what)
		return nil
	}
	var out []Identity
	seen, byDefault := map[string]bool{}, 0
	for _, n := range nodes {
		id, ok := r.identity(n, what)
		if !ok {
			continue
		}
		if seen[id.DBUser] {
			r.add(n.Line, "%s: database user %s is given twice", what, id.DBUser)
		}
		seen[id.DBUser] = true
		if len(out) > 0 && id.Home != out[0].Home {
			r.add(n.Line, "%s: the identities of an OS user share one file of services: write the same home with %s and %s", what, out[0].DBUser, id.DBUser)
		}
		if id.Default {
			if byDefault++; byDefault == 2 {
				r.add(n.Line, "%s: only one identity of an OS user can be its default", what)
			}
		}
		id.OSUser = os.key
		out = append(out, id)
	}
	return out
}

// identity reads one database user: its name alone, or with settings.
func (r *reader) identity(n *yaml.Node, what string) (Identity, bool) {
	var id Identity
	user := item{n.Value, n.Line}
	switch {
	case n.Kind == yaml.MappingNode:
		before := len(r.problems)
		user = item{"", n.Line}
		for _, e := range r.entries(n, what) {
			r.identityKey(&id, &user, e, what)
		}
		if len(r.problems) > before {
			return id, false
		}
		if user.text == "" {
			r.add(n.Line, "%s: the key user is missing: the database user's name", what)
			return id, false
		}
	case n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "":
		r.add(n.Line, "%s: wants a database user, found %s", what, kindName(n))
		return id, false
	}
	if err := checkIdentifier(user.text); err != nil {
		r.add(user.line, "%s: database user %v", what, err)
		return id, false
	}
	switch {
	case strings.ContainsRune(user.text, ']'):
		r.add(user.line, "%s: database user %q holds ']', which the name of a service cannot hold", what, user.text)
	case user.text == "postgres" && !id.AllowPrivileged:
		r.add(user.line, "%s: a certificate for postgres opens everything; if that is meant, write {user: postgres, allow_privileged: true}", what)
	case strings.HasPrefix(user.text, canaryPrefix):
		r.add(user.line, "%s: names beginning with %s are pgfleet's own", what, canaryPrefix)
	}
	if id.Home != "" && id.Default {
		r.add(user.line, "%s: libpq looks for its default files in the home directory of the OS user, not in %s: leave out default or home", what, id.Home)
	}
	id.DBUser = user.text
	r.replication(id, user.line, what)
	return id, true
}

func (r *reader) identityKey(id *Identity, user *item, e entry, what string) {
	name := what + "." + e.key
	switch e.key {
	case "user":
		user.text, _ = r.text(e, name)
		user.line = e.value.Line
	case "databases":
		items := r.list(e.value, name, false)
		for _, it := range items {
			if err := checkIdentifier(it.text); err != nil {
				r.add(it.line, "%s: database %v", name, err)
				continue
			}
			id.Databases = append(id.Databases, it.text)
		}
		if e.value.Kind == yaml.SequenceNode && len(e.value.Content) == 0 {
			r.add(e.line, "%s: is empty; leave it out to admit to all databases", name)
		}
	case "default":
		id.Default, _ = r.boolean(e.value, name)
	case "allow_privileged":
		id.AllowPrivileged, _ = r.boolean(e.value, name)
	case "password":
		id.Password, _ = r.reference(e.value, name)
	case "after_change":
		id.AfterChange = r.afterChange(e.value, name)
	case "formats":
		id.P12 = r.formats(e.value, name)
	case "replication":
		id.Replication, _ = r.boolean(e.value, name)
	case "home":
		id.Home = r.home(e, name)
	default:
		r.unknown(e, what, identityKeys)
	}
}

// homeRE is what the path of a home folder can be: it stands in files of services, in variables and on command lines of the user's.
var homeRE = regexp.MustCompile(`^(/[A-Za-z0-9_.@%+=:,-]+)+$`)

// home reads the folder in the place of a home directory.
func (r *reader) home(e entry, name string) string {
	text, ok := r.text(e, name)
	if ok && (!homeRE.MatchString(text) || path.Clean(text) != text) {
		r.add(e.value.Line, "%s: %q is no absolute path of letters, digits and _ . @ %% + = : , - (such as /var/lib/pgfleet/app)", name, short(text))
	}
	return text
}

// checkIdentifier tells whether a text can be a role or database here: it also becomes a folder's name and a common name.
func checkIdentifier(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is no name", name)
	case len(name) > maxIdentifier:
		return fmt.Errorf("%q is longer than PostgreSQL's %d bytes", short(name), maxIdentifier)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%q begins or ends with a space", name)
	}
	for _, c := range name {
		if c == '/' || c == unicode.ReplacementChar || unicode.IsControl(c) {
			return fmt.Errorf("%q holds %q, which is not allowed", name, c)
		}
	}
	return nil
}
