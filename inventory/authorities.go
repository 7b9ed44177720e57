package inventory

import (
	"fmt"
	"path"
	"path/filepath"
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
	"passphrase":    (*reader).authorityPassphrase,
	"key":           (*reader).authorityKey,
	"pin":           (*reader).authorityPassphrase,
	"dir":           (*reader).authorityDir,
	"offline":       func(r *reader, a *authorityDraft, e entry, what string) { a.Offline, _ = r.boolean(e.value, what) },
	"external":      func(r *reader, a *authorityDraft, e entry, what string) { a.External = r.authorityFile(e, what) },
	"crl":           func(r *reader, a *authorityDraft, e entry, what string) { a.Lists = r.authorityFile(e, what) },
	"allowed_names": (*reader).authorityNames,
	"profiles":      (*reader).authorityProfiles,
	"replaces":      func(r *reader, a *authorityDraft, e entry, what string) { a.Replaces, _ = r.text(e, what) },
	"reserved_users": func(r *reader, a *authorityDraft, e entry, what string) {
		a.ReservedUsers = r.patterns(e, what)
	},
	"max_per_day": func(r *reader, a *authorityDraft, e entry, what string) { a.MaxPerDay = r.perDay(e, what) },
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

// authorityFile reads the path of a file on this machine.
func (r *reader) authorityFile(e entry, what string) string {
	text, ok := r.text(e, what)
	if !ok {
		return ""
	}
	file, err := r.path(text)
	if err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
	}
	return file
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
	if given("crl") && !given("external") {
		r.add(a.at("crl"), "%s.crl: goes with external alone: pgfleet keeps the lists of other authorities itself (pgfleet authority answer takes in that of an offline one)", what)
	}
	if given("external") || a.Offline {
		a.Desk = filepath.Join(r.dir, "authorities", a.Name)
	}
	if given("external") {
		for _, key := range []string{"host", "subject", "valid_for", "leaf_valid_for", "key_type", "key", "pin", "passphrase", "dir", "mode", "offline", "issuer"} {
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
		for _, key := range []string{"host", "key", "pin", "passphrase", "dir", "mode"} {
			if given(key) {
				r.add(a.at(key), "%s.%s: has no meaning with offline: an offline authority's host is never contacted", what, key)
			}
		}
	} else if !given("host") {
		r.add(a.line, "%s: the key host is missing: the host that holds its key (or offline: true, or external: FILE)", what)
	}
	r.checkKey(a, what)
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
