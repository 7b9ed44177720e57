package inventory

import (
	"fmt"
	"path"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// Lives of a CA certificate when valid_for is not given.
const (
	rootLife         = pki.DefaultLife
	intermediateLife = 1825 * 24 * time.Hour
)

// profiles of leaf certificates that an authority can be declared for.
var profiles = []string{string(pki.ProfileServer), string(pki.ProfileClient)}

// authorityDraft is an authority while the file is being read.
type authorityDraft struct {
	pki.Authority
	line  int
	lines map[string]int // of its keys
}

// at gives the line of a key, else of the authority.
func (a *authorityDraft) at(key string) int {
	if line, ok := a.lines[key]; ok {
		return line
	}
	return a.line
}

var authorityKeys = map[string]func(*reader, *authorityDraft, entry, string){
	"host":           func(r *reader, a *authorityDraft, e entry, what string) { a.Host, _ = r.text(e, what) },
	"issuer":         func(r *reader, a *authorityDraft, e entry, what string) { a.Issuer, _ = r.text(e, what) },
	"subject":        (*reader).authoritySubject,
	"valid_for":      func(r *reader, a *authorityDraft, e entry, what string) { a.ValidFor = r.life(e, what) },
	"leaf_valid_for": func(r *reader, a *authorityDraft, e entry, what string) { a.LeafValidFor = r.life(e, what) },
	"key_type":       func(r *reader, a *authorityDraft, e entry, what string) { a.KeyType = r.oneOf(e, what, pki.KeyTypes()) },
	"mode": func(r *reader, a *authorityDraft, e entry, what string) {
		a.Mode = r.oneOf(e, what, []string{"convenient", "restricted"})
	},
	"dir":           (*reader).authorityDir,
	"offline":       func(r *reader, a *authorityDraft, e entry, what string) { a.Offline, _ = r.boolean(e.value, what) },
	"external":      (*reader).authorityExternal,
	"allowed_names": (*reader).authorityNames,
	"profiles":      (*reader).authorityProfiles,
}

func (r *reader) readAuthorities(n *yaml.Node) {
	for _, e := range r.entries(n, "authorities") {
		what := "authorities." + e.key
		a := &authorityDraft{line: e.line, lines: map[string]int{}}
		a.Name = e.key
		if !groupRE.MatchString(e.key) {
			r.add(e.line, "authorities: %q: an authority's name is letters, digits, _ and -; it also names its folder", short(e.key))
		}
		for _, f := range r.entries(e.value, what) {
			a.lines[f.key] = f.line
			if read, ok := authorityKeys[f.key]; ok {
				read(r, a, f, what+"."+f.key)
				continue
			}
			r.unknown(f, what, keysOf(authorityKeys))
		}
		r.authorities = append(r.authorities, a)
		r.checkAuthority(a, what)
	}
}

func (r *reader) authoritySubject(a *authorityDraft, e entry, what string) {
	text, ok := r.text(e, what)
	if !ok {
		return
	}
	name, err := pki.ParseSubject(text)
	if err == nil && name.CommonName == "" {
		err = fmt.Errorf("subject %q: CN is missing; write for example CN=root-ca1,O=Example", short(text))
	}
	if err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
		return
	}
	a.Subject = text
}

func (r *reader) authorityDir(a *authorityDraft, e entry, what string) {
	text, ok := r.text(e, what)
	if !ok {
		return
	}
	if !path.IsAbs(text) || path.Clean(text) != strings.TrimSuffix(text, "/") || strings.Count(path.Clean(text), "/") < 2 ||
		strings.ContainsAny(text, "\x00\n\r") {
		r.add(e.value.Line, "%s: wants an absolute path of a folder of its own, at least two levels deep", what)
		return
	}
	a.Dir = path.Clean(text)
}

func (r *reader) authorityExternal(a *authorityDraft, e entry, what string) {
	text, ok := r.text(e, what)
	if !ok {
		return
	}
	file, err := r.path(text)
	if err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
		return
	}
	a.External = file
}

func (r *reader) authorityNames(a *authorityDraft, e entry, what string) {
	for _, it := range r.list(e.value, what, false) {
		if strings.ContainsAny(it.text, "\x00\r\n") || len(it.text) > 253 {
			r.add(it.line, "%s: %q is no name pattern", what, short(it.text))
			continue
		}
		a.AllowedNames = append(a.AllowedNames, it.text)
	}
}

func (r *reader) authorityProfiles(a *authorityDraft, e entry, what string) {
	for _, it := range r.list(e.value, what, true) {
		if !contains(profiles, it.text) {
			r.add(it.line, "%s: %q is not one of %s%s", what, short(it.text), strings.Join(profiles, ", "), suggest(it.text, profiles))
			continue
		}
		a.Profiles = append(a.Profiles, pki.Profile(it.text))
	}
}

// life reads a duration of at least an hour.
func (r *reader) life(e entry, what string) time.Duration {
	text, ok := r.text(e, what)
	if !ok {
		return 0
	}
	d, err := pki.ParseDuration(text)
	if err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
		return 0
	}
	if d < time.Hour || d > 100*365*24*time.Hour {
		r.add(e.value.Line, "%s: %s is not between 1h and 100y", what, text)
		return 0
	}
	return d
}

func (r *reader) oneOf(e entry, what string, allowed []string) string {
	text, ok := r.text(e, what)
	if !ok {
		return ""
	}
	if !contains(allowed, text) {
		r.add(e.value.Line, "%s: %q is not one of %s%s", what, short(text), strings.Join(allowed, ", "), suggest(text, allowed))
		return ""
	}
	return text
}

// checkAuthority looks at one authority alone.
func (r *reader) checkAuthority(a *authorityDraft, what string) {
	given := func(key string) bool { _, ok := a.lines[key]; return ok }
	if given("external") {
		for _, key := range []string{"host", "subject", "valid_for", "leaf_valid_for", "key_type", "dir", "mode", "offline", "issuer"} {
			if given(key) {
				r.add(a.at(key), "%s.%s: has no meaning with external: that authority is not ours, its certificate file says everything", what, key)
			}
		}
		return
	}
	if !given("subject") {
		r.add(a.line, "%s: the key subject is missing; write for example subject: \"CN=%s\"", what, a.Name)
	}
	if a.Offline {
		for _, key := range []string{"host", "dir", "mode"} {
			if given(key) {
				r.add(a.at(key), "%s.%s: has no meaning with offline: an offline authority's host is never contacted", what, key)
			}
		}
	} else if !given("host") {
		r.add(a.line, "%s: the key host is missing: the host that holds its key (or offline: true, or external: FILE)", what)
	}
	if !given("valid_for") {
		a.ValidFor = rootLife
		if given("issuer") {
			a.ValidFor = intermediateLife
		}
	}
	if a.LeafValidFor > a.ValidFor && a.ValidFor > 0 {
		r.add(a.at("leaf_valid_for"), "%s.leaf_valid_for: a leaf cannot live longer than its authority (valid_for)", what)
	}
}

// checkAuthorities looks at the authorities together, once the hosts are known.
func (r *reader) checkAuthorities() {
	byName := map[string]*authorityDraft{}
	for _, a := range r.authorities {
		byName[a.Name] = a
	}
	names := keysOf(byName)
	places, subjects, held := map[string]string{}, map[string]string{}, map[string]bool{}
	for _, a := range r.authorities {
		what := "authorities." + a.Name
		if a.Issuer != "" && byName[a.Issuer] == nil {
			r.add(a.at("issuer"), "%s.issuer: unknown authority %q%s", what, short(a.Issuer), suggest(a.Issuer, names))
		}
		if a.Host != "" {
			r.checkHolder(a, what)
			held[strings.ToLower(a.Host)] = true
			place := strings.ToLower(a.Host) + " " + a.DirOrDefault()
			if other, ok := places[place]; ok {
				r.add(a.at("dir"), "%s: shares the folder %s on %s with authority %s", what, a.DirOrDefault(), a.Host, other)
			}
			places[place] = a.Name
		}
		if name, err := pki.ParseSubject(a.Subject); err == nil && a.Subject != "" {
			key := strings.ToLower(pki.FormatSubject(name))
			if other, ok := subjects[key]; ok {
				r.add(a.at("subject"), "%s.subject: is authority %s's too; with one subject for two authorities clients cannot tell them apart", what, other)
			}
			subjects[key] = a.Name
		}
	}
	r.checkCycles(byName)
	r.checkIdleHolders(held)
	for _, a := range r.authorities {
		r.checkBelow(a, byName)
	}
}

// checkHolder looks at the host of an authority: it must exist and have the role by which playbooks find it.
func (r *reader) checkHolder(a *authorityDraft, what string) {
	h := r.named(a.Host)
	if h == nil {
		var names []string
		for _, d := range r.hosts {
			names = append(names, d.Name)
		}
		r.add(a.at("host"), "%s.host: unknown host %q%s", what, short(a.Host), suggest(a.Host, names))
		return
	}
	a.Host = h.Name
	role := "root_ca"
	if a.Issuer != "" {
		role = "intermediate_ca"
	}
	if !h.HasRole(role) {
		r.add(a.at("host"), "%s.host: %s lacks the role %s (its line is %d), so no playbook would make this authority", what, h.Name, role, h.Line)
	}
}

// checkIdleHolders reports CA roles that no authority uses, once for each entry.
func (r *reader) checkIdleHolders(held map[string]bool) {
	idle := newNotes()
	for _, h := range r.hosts {
		if !(h.HasRole("root_ca") || h.HasRole("intermediate_ca")) || held[strings.ToLower(h.Name)] {
			continue
		}
		idle.problem(r.file, h.Line, h.what+": has a CA's role, but no authority names it as its host", h.Name)
	}
	r.problems = append(r.problems, idle.problems()...)
}

// checkCycles reports each ring of issuers once, at its first authority.
func (r *reader) checkCycles(byName map[string]*authorityDraft) {
	done := map[string]bool{}
	for _, a := range r.authorities {
		var trail []string
		on := map[string]bool{}
		for cur := a; cur != nil && !done[cur.Name]; cur = byName[cur.Issuer] {
			if on[cur.Name] {
				for trail[0] != cur.Name {
					trail = trail[1:]
				}
				r.add(cur.at("issuer"), "authorities.%s.issuer: is a cycle: %s -> %s", cur.Name, strings.Join(trail, " -> "), cur.Name)
				break
			}
			on[cur.Name] = true
			trail = append(trail, cur.Name)
		}
		for name := range on {
			done[name] = true
		}
	}
}

// checkBelow compares an authority with those above it.
func (r *reader) checkBelow(a *authorityDraft, byName map[string]*authorityDraft) {
	what := "authorities." + a.Name
	if up := byName[a.Issuer]; up != nil && up.ValidFor > 0 && a.ValidFor > up.ValidFor {
		r.add(a.at("valid_for"), "%s.valid_for: is longer than that of its issuer %s", what, up.Name)
	}
	if a.KeyType != "ed25519" {
		return
	}
	var below []string
	for _, leaf := range r.authorities {
		steps := 0
		for cur := leaf; cur != nil && steps <= len(byName); cur, steps = byName[cur.Issuer], steps+1 {
			if cur == a && leaf.signsServers() {
				below = append(below, leaf.Name)
				break
			}
		}
	}
	if len(below) > 0 {
		sort.Strings(below)
		r.add(a.at("key_type"), "%s.key_type: ed25519 cannot stand above server certificates: SCRAM with channel binding fails under it in every client. "+
			"Use ecdsa-p256, or declare profiles: [client] for %s", what, strings.Join(below, ", "))
	}
}

func (a *authorityDraft) signsServers() bool {
	if a.External != "" {
		return false
	}
	for _, p := range a.Profiles {
		if p == pki.ProfileServer {
			return true
		}
	}
	return len(a.Profiles) == 0
}
