package inventory

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// reservedUsers get no certificate from an authority in mode restricted, unless an identity has one of them with allow_privileged: names that superusers
// and replication have by custom.
var reservedUsers = []string{"postgres", "pgfleet-canary-*", "replication", "replicator", "replica", "repl", "repmgr", "standby", "streaming_replica", "rewind_user", "barman",
	"streaming_barman", "pgbackrest", "patroni"}

// maxPerDay is the largest number that the program on the host reads.
const maxPerDay = 99999

func (r *reader) perDay(e entry, what string) int {
	text, ok := r.text(e, what)
	n, err := strconv.Atoi(text)
	if ok && (err != nil || n < 1 || n > maxPerDay) {
		r.add(e.value.Line, "%s: %q is not a number between 1 and %d", what, short(text), maxPerDay)
		return 0
	}
	return n
}

// patterns reads what the program on the host compares with names: '*' stands for any text, '?' for one character.
func (r *reader) patterns(e entry, what string) []string {
	var out []string
	for _, it := range r.list(e.value, what, false) {
		if problem := plainPattern(it.text); problem != "" {
			r.add(it.line, "%s: %q %s", what, short(it.text), problem)
			continue
		}
		out = append(out, it.text)
	}
	return out
}

func plainPattern(text string) string {
	switch {
	case text == "" || len(text) > 253 || strings.Trim(text, " ") != text || strings.ContainsAny(text, "\x00\r\n\t"):
		return "is no name pattern"
	case strings.ContainsAny(text, `[]\`):
		return `has '[', ']' or '\', which mode restricted does not know: use '*' and '?'`
	}
	return ""
}

// restricted looks at the authorities in mode restricted and at their hosts, and says who is reserved there.
func (r *reader) restricted() {
	for _, a := range r.authorities {
		what := "authorities." + a.Name
		if !a.Restricted() || !a.Ours() {
			for _, key := range []string{"reserved_users", "max_per_day"} {
				if _, given := a.lines[key]; given && !a.Restricted() {
					r.add(a.at(key), "%s.%s: has no meaning without mode: restricted", what, key)
				}
			}
			continue
		}
		for _, pattern := range a.AllowedNames {
			if problem := plainPattern(pattern); problem != "" {
				r.add(a.at("allowed_names"), "%s.allowed_names: %q %s", what, short(pattern), problem)
			}
		}
		a.ReservedUsers = r.reserved(a.ReservedUsers)
		r.restrictedSubject(a, what)
		for _, below := range r.authorities {
			if below.Issuer != a.Name {
				continue
			}
			if a.Issuer != "" {
				r.add(below.at("issuer"), "authorities.%s.issuer: in mode restricted only a root signs authorities, and %s is none", below.Name, a.Name)
			}
			r.restrictedSubject(below, "authorities."+below.Name)
		}
		r.restrictedHost(a, what)
	}
}

// reserved are the patterns of an authority: those of the inventory and those by custom, without the users who have a certificate nevertheless.
func (r *reader) reserved(own []string) []string {
	var out []string
	for _, pattern := range slices.Concat(reservedUsers, own) {
		pattern = strings.ToLower(pattern)
		privileged := slices.ContainsFunc(r.hosts, func(d *draft) bool {
			return slices.ContainsFunc(d.Identities, func(id Identity) bool { return id.AllowPrivileged && strings.ToLower(id.DBUser) == pattern })
		})
		if !privileged && !slices.Contains(out, pattern) {
			out = append(out, pattern)
		}
	}
	return out
}

// restrictedSubject refuses what the program on the host does not read.
func (r *reader) restrictedSubject(a *authorityDraft, what string) {
	name, err := pki.ParseSubject(a.Subject)
	if err != nil {
		return
	}
	for _, values := range [][]string{name.Organization, name.OrganizationalUnit, name.Locality, name.Province, name.Country} {
		if len(values) > 1 {
			r.add(a.at("subject"), "%s.subject: mode restricted knows each attribute once", what)
			return
		}
	}
}

// restrictedHost looks at the host of an authority: nothing but such authorities may be there, since nothing else can be done to it.
func (r *reader) restrictedHost(a *authorityDraft, what string) {
	h := r.named(a.Host)
	if h == nil {
		return
	}
	h.restricted = true
	for _, role := range []string{"db_server", "client"} {
		if h.HasRole(role) {
			r.add(a.at("mode"), "%s.mode: restricted: host %s has the role %s too, but on such a host pgfleet can do nothing but sign", what, h.Name, role)
		}
	}
	for _, other := range r.authorities {
		if strings.EqualFold(other.Host, a.Host) && !other.Restricted() {
			r.add(other.at("mode"), "authorities.%s.mode: %s holds authority %s in mode restricted, so this one has to be in that mode too", other.Name, h.Name, a.Name)
		}
	}
}
