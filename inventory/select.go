package inventory

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Select gives the hosts that a pattern means, in the order of the inventory. Terms stand between commas or colons, as Ansible's users know
// them: all or *, a group, a role, a host's name, its first label when only one host has it, its address, a glob (db0*), a range
// (db[01:05]), members of a group by place (client[0], client[0:4], client[-1]); !term takes away, &term keeps only those that are in term
// too. First all plain terms are united, then & and ! apply, wherever they stand; without a plain term the start is every host.
//
// A term that means nothing is an error with a suggestion. A pattern whose terms are all known can still mean no host (client:!client, a
// role of pgfleet's own that no host has): the slice is then empty without an error, and the caller says so. Text with an IPv6 address
// is cut at commas only.
func (inv *Inventory) Select(pattern string) ([]*Host, error) {
	picked, err := inv.indexed().choose(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", short(pattern), err)
	}
	var out []*Host
	for i, yes := range picked {
		if yes {
			out = append(out, inv.Hosts[i])
		}
	}
	return out, nil
}

// TakenAway gives the hosts that a pattern takes away with !term, by name. Unlike those that it merely does not choose, the user has named them.
func (inv *Inventory) TakenAway(pattern string) (map[string]bool, error) {
	ix, out := inv.indexed(), map[string]bool{}
	for _, t := range splitPattern(pattern) {
		rest, away := strings.CutPrefix(t, "!")
		if !away {
			continue
		}
		found, err := ix.term(strings.TrimSpace(rest))
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", short(pattern), err)
		}
		for i, yes := range found {
			if yes {
				out[inv.Hosts[i].Name] = true
			}
		}
	}
	return out, nil
}

// indexed gives the index made by Parse, or one made now for an Inventory that was put together by hand.
func (inv *Inventory) indexed() *index {
	if inv.index != nil && len(inv.index.hosts) == len(inv.Hosts) {
		return inv.index
	}
	ix := newIndex(inv.Hosts)
	for _, role := range builtinRoles {
		ix.know(role)
	}
	for name, members := range inv.Groups {
		ix.know(name)
		for _, m := range members {
			ix.addTo(name, m)
		}
	}
	for _, h := range inv.Hosts {
		for _, role := range h.Roles {
			ix.addTo(role, h.Name)
		}
	}
	return ix
}

// choose gives, for each host, whether the pattern means it.
func (ix *index) choose(pattern string) ([]bool, error) { return ix.combine(splitPattern(pattern)) }

// chooseList takes the items of a list as terms of one pattern. Items that mean nothing are reported with their line.
func (r *reader) chooseList(ix *index, items []item, what string) []bool {
	var terms []string
	for _, it := range items {
		parts := splitPattern(it.text)
		if _, err := ix.combine(parts); err != nil {
			r.add(it.line, "%s: %v", what, err)
			continue
		}
		terms = append(terms, parts...)
	}
	if len(terms) == 0 {
		return make([]bool, len(ix.hosts))
	}
	picked, _ := ix.combine(terms) // each was tried above
	return picked
}

// combine gives the hosts that terms mean together.
func (ix *index) combine(terms []string) ([]bool, error) {
	union, limits, takeAway := make([]bool, len(ix.hosts)), [][]bool{}, make([]bool, len(ix.hosts))
	plain := false
	if len(terms) == 0 {
		return nil, fmt.Errorf("is empty; all means every host")
	}
	for _, t := range terms {
		sign := t[0]
		if sign == '!' || sign == '&' {
			t = strings.TrimSpace(t[1:])
		}
		found, err := ix.term(t)
		switch {
		case err != nil:
			return nil, err
		case sign == '!':
			add(takeAway, found)
		case sign == '&':
			limits = append(limits, found)
		default:
			plain = true
			add(union, found)
		}
	}
	for i := range union {
		union[i] = (union[i] || !plain) && !takeAway[i]
		for _, l := range limits {
			union[i] = union[i] && l[i]
		}
	}
	return union, nil
}

// splitPattern cuts at commas and colons outside brackets; parts that are an IPv6 address stay whole.
func splitPattern(pattern string) []string {
	var out []string
	for _, part := range splitOutside(pattern, ",") {
		if isIPv6(strings.TrimLeft(part, "!& ")) {
			out = append(out, part)
			continue
		}
		out = append(out, splitOutside(part, ":")...)
	}
	return out
}

func add(to, from []bool) {
	for i, yes := range from {
		to[i] = to[i] || yes
	}
}

// term gives the hosts of one term.
func (ix *index) term(t string) ([]bool, error) {
	out := make([]bool, len(ix.hosts))
	switch {
	case t == "":
		return nil, fmt.Errorf("! and & want a term behind them")
	case t[0] == '~':
		return nil, fmt.Errorf("%s: regular expressions are not supported; use a glob such as db0*", short(t))
	case t == "all" || t == "*":
		for i := range out {
			out[i] = true
		}
		return out, nil
	case ix.groups[t] != nil:
		return ix.groups[t], nil
	}
	if i, ok := ix.one(t); ok {
		out[i] = true
		return out, nil
	}
	if base, inner, ok := strings.Cut(t, "["); ok && strings.HasSuffix(inner, "]") && (base == "all" || ix.groups[base] != nil) {
		return ix.subscript(base, strings.TrimSuffix(inner, "]"))
	}
	words, err := Expand(t)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		if err := ix.word(w, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// word adds the hosts that a name or a glob means.
func (ix *index) word(w string, out []bool) error {
	if i, ok := ix.one(w); ok {
		out[i] = true
		return nil
	}
	if !strings.ContainsAny(w, "*?") {
		if ix.labels[strings.ToLower(w)] == -1 {
			return fmt.Errorf("%s is the first label of several hosts; write a whole name or %s.*", w, w)
		}
		return fmt.Errorf("no host, group or role is called %s%s", short(w), ix.suggest(w))
	}
	some := false
	for i, h := range ix.hosts {
		ok, err := path.Match(strings.ToLower(w), strings.ToLower(h.Name))
		if err != nil {
			return fmt.Errorf("%s is no glob; * and ? are understood", short(w))
		}
		out[i], some = out[i] || ok, some || ok
	}
	for name, members := range ix.groups {
		if ok, _ := path.Match(w, name); ok {
			add(out, members)
			some = true
		}
	}
	if !some {
		return fmt.Errorf("no host, group or role looks like %s", short(w))
	}
	return nil
}

// one gives the place of the host that a text names: by its name, else its first label, else its address.
func (ix *index) one(t string) (int, bool) {
	t = strings.ToLower(t)
	if i, ok := ix.place[t]; ok {
		return i, true
	}
	if i, ok := ix.labels[t]; ok && i >= 0 {
		return i, true
	}
	i, ok := ix.addresses[strings.ToLower(address(t, false))]
	return i, ok && i >= 0
}

// subscript gives members of a group by their place: 3, -1 (the last), 0:4 (both ends belong to it), 2: and :2.
func (ix *index) subscript(name, inner string) ([]bool, error) {
	var members []int
	for i := range ix.hosts {
		if name == "all" || ix.groups[name][i] {
			members = append(members, i)
		}
	}
	from, to, isSlice := strings.Cut(inner, ":")
	first, errFrom := placeIn(from, 0, len(members), isSlice)
	last, errTo := first, error(nil)
	if isSlice {
		last, errTo = placeIn(to, len(members)-1, len(members), true)
		last = min(last, len(members)-1)
	}
	switch {
	case errFrom != nil || errTo != nil:
		return nil, fmt.Errorf("%s[%s]: write %s[0], %s[-1] or %s[0:4]", name, short(inner), name, name, name)
	case !isSlice && (first < 0 || first >= len(members)):
		return nil, fmt.Errorf("%s[%s]: %s has %d hosts", name, inner, name, len(members))
	}
	out := make([]bool, len(ix.hosts))
	for i := max(first, 0); i <= last; i++ {
		out[members[i]] = true
	}
	return out, nil
}

func placeIn(text string, empty, size int, mayBeEmpty bool) (int, error) {
	if text == "" && mayBeEmpty {
		return empty, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && n < 0 {
		n += size
	}
	return n, err
}

// suggest gives the nearest name of a group, role or host.
func (ix *index) suggest(w string) string {
	known := keysOf(ix.groups)
	for _, h := range ix.hosts {
		known = append(known, h.Name)
	}
	if hint := suggest(w, known); hint != "" {
		return hint
	}
	return suggest(w, keysOf(ix.labels))
}
