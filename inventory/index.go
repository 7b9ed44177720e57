package inventory

import "strings"

// index answers which hosts a term means.
type index struct {
	hosts  []*Host
	byName map[string]*Host
	place  map[string]int
	// labels and addresses lead to a host's place; -1: several hosts have it.
	labels, addresses map[string]int
	groups            map[string][]bool
}

func newIndex(hosts []*Host) *index {
	ix := &index{hosts: hosts, byName: map[string]*Host{}, place: map[string]int{}, labels: map[string]int{},
		addresses: map[string]int{}, groups: map[string][]bool{}}
	note := func(m map[string]int, key string, i int) {
		if _, taken := m[key]; taken {
			i = -1
		}
		m[key] = i
	}
	for i, h := range hosts {
		name := strings.ToLower(h.Name)
		ix.byName[name], ix.place[name] = h, i
		if label, rest, ok := strings.Cut(name, "."); ok && rest != "" && !parseIP(name).IsValid() {
			note(ix.labels, label, i)
		}
		note(ix.addresses, strings.ToLower(h.Address), i)
	}
	return ix
}

// know makes a group's name a valid term even when it has no member.
func (ix *index) know(group string) {
	if ix.groups[group] == nil {
		ix.groups[group] = make([]bool, len(ix.hosts))
	}
}

func (ix *index) addTo(group, host string) {
	ix.know(group)
	if i, ok := ix.place[strings.ToLower(host)]; ok {
		ix.groups[group][i] = true
	}
}
