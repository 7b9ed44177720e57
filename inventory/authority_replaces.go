package inventory

import (
	"strings"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// successorOf gives the name under which an issuer is declared: its own, or that of the authority that has taken its place.
func (r *reader) successorOf(name string, byName map[string]*authorityDraft) string {
	if byName[name] != nil {
		return name
	}
	for _, a := range r.authorities {
		if name != "" && a.Replaces == name {
			return a.Name
		}
	}
	return name
}

// checkReplacements looks at the authorities that take the place of others.
func (r *reader) checkReplacements(byName map[string]*authorityDraft) {
	by, rings := map[string]*authorityDraft{}, map[string]bool{}
	var first *authorityDraft
	for _, a := range r.authorities {
		if a.Replaces == "" {
			continue
		}
		what := "authorities." + a.Name + ".replaces"
		line, old := a.at("replaces"), byName[a.Replaces]
		if !groupRE.MatchString(a.Replaces) {
			r.add(line, "%s: %q is no authority's name: letters, digits, _ and -", what, short(a.Replaces))
			continue
		}
		if other := by[a.Replaces]; other != nil {
			r.add(line, "%s: %s is replaced by %s already (line %d); an authority has one successor", what, a.Replaces, other.Name, other.at("replaces"))
			continue
		}
		by[a.Replaces] = a
		if old == nil {
			continue // it has been taken out, and this one has its place
		}
		if ring := ringOf(a, byName); len(ring) > 0 {
			if !rings[a.Name] {
				r.add(line, "%s: is a cycle: %s", what, strings.Join(ring, " -> "))
			}
			for _, name := range ring {
				rings[name] = true
			}
			continue
		}
		if before := byName[old.Replaces]; before != nil {
			r.add(line, "%s: %s replaces %s itself (line %d), which is still declared; finish that first (pgfleet rotate-ca) and take %s out",
				what, old.Name, before.Name, old.at("replaces"), before.Name)
			continue
		}
		r.checkSuccessor(a, old, what)
		if first == nil {
			first = a
		} else if !sameTree(first, a, byName) {
			r.add(line, "%s: %s is being replaced too (line %d); one after the other: finish one (pgfleet rotate-ca), take the old authority out, then begin the next",
				what, first.Replaces, first.at("replaces"))
		}
	}
	for _, a := range r.authorities {
		r.checkLeftBelow(a, by)
	}
}

// ringOf gives the ring of successors that an authority is in, or comes to, none when there is none.
func ringOf(a *authorityDraft, byName map[string]*authorityDraft) []string {
	trail := []string{a.Name}
	for cur := byName[a.Replaces]; cur != nil; cur = byName[cur.Replaces] {
		trail = append(trail, cur.Name)
		if cur == a || len(trail) > len(byName)+1 {
			return trail
		}
	}
	return nil
}

// checkSuccessor compares an authority with the one that it replaces.
func (r *reader) checkSuccessor(a, old *authorityDraft, what string) {
	up := a
	for n := 0; n < len(r.authorities) && up != nil; n++ {
		if up.Issuer == old.Name {
			r.add(a.at("issuer"), "authorities.%s.issuer: is %s, or below it, and %s replaces that: a successor cannot need the one that goes", a.Name, old.Name, a.Name)
			break
		}
		up = r.draft(up.Issuer)
	}
	for _, p := range []pki.Profile{pki.ProfileServer, pki.ProfileClient} {
		if old.External == "" && a.External == "" && old.signs(p) && !a.signs(p) {
			r.add(a.at("profiles"), "%s: %s signs certificates of profile %s, and %s does not: add %s to its profiles", what, old.Name, p, a.Name, p)
		}
	}
}

// draft gives an authority by name, nil when there is none.
func (r *reader) draft(name string) *authorityDraft {
	for _, a := range r.authorities {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// signs tells whether an authority may sign leaves of a profile.
func (a *authorityDraft) signs(profile pki.Profile) bool {
	for _, p := range a.Profiles {
		if p == profile {
			return true
		}
	}
	return len(a.Profiles) == 0
}

// sameTree tells whether the replacements of two authorities belong together: what is replaced stands above one another, or below one authority that is replaced.
func sameTree(a, b *authorityDraft, byName map[string]*authorityDraft) bool {
	root := func(d *authorityDraft) *authorityDraft {
		for n := 0; n <= len(byName) && byName[d.Issuer] != nil; n++ {
			d = byName[d.Issuer]
		}
		return d
	}
	return root(byName[a.Replaces]) == root(byName[b.Replaces])
}

// checkLeftBelow reports an authority below one that goes, which does not go itself: nothing that it has signed would be believed in the end.
func (r *reader) checkLeftBelow(a *authorityDraft, by map[string]*authorityDraft) {
	next := by[a.Issuer]
	if a.Issuer == "" || next == nil || by[a.Name] != nil || r.draft(a.Issuer) == nil {
		return
	}
	if next == a {
		return // it is below what it replaces, which has been said
	}
	if a.Replaces != "" {
		r.add(a.at("issuer"), "authorities.%s.issuer: %s is being replaced by %s (line %d); write issuer: %s", a.Name, a.Issuer, next.Name, next.at("replaces"), next.Name)
		return
	}
	r.add(a.at("issuer"), "authorities.%s.issuer: %s is being replaced by %s (line %d), and then nobody believes what %s has signed; declare its successor too, for example %s_g2: {issuer: %s, replaces: %s, …}",
		a.Name, a.Issuer, next.Name, next.at("replaces"), a.Name, a.Name, next.Name, a.Name)
}
