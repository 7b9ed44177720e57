package inventory

import (
	"sort"
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

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
		a.Issuer = r.successorOf(a.Issuer, byName)
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
	r.checkReplacements(byName)
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
		holder := h.HasRole("root_ca") || h.HasRole("intermediate_ca")
		if holder && !held[strings.ToLower(h.Name)] {
			idle.problem(r.file, h.Line, h.what+": has a CA's role, but no authority names it as its host", h.Name)
		}
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
	if up := byName[a.Issuer]; a.Offline && up != nil && !up.Foreign() {
		r.add(a.at("issuer"), "%s.issuer: %s is not offline: below an authority that pgfleet has sign, only others that it has sign can stand; give %s a host, or make %s offline too", what, up.Name, a.Name, up.Name)
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
