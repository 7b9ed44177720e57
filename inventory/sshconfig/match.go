package sshconfig

import "strings"

// matchPattern is ssh_config(5) PATTERNS: * any characters, ? exactly one.
func matchPattern(text, pattern string) bool {
	// Where the last * stood, and how much of text it has swallowed.
	star, swallowed := -1, 0
	t, p := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, swallowed = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			t, p = t+1, p+1
		case star >= 0:
			swallowed++
			t, p = swallowed, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchHost is the Host directive: one pattern must fit, none of those with ! may.
func matchHost(host string, patterns []string) bool {
	found := false
	for _, p := range patterns {
		negated := strings.HasPrefix(p, "!")
		if matchPattern(host, strings.TrimPrefix(p, "!")) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchList is a list with commas, as Match takes it; fold ignores case, as for host names.
func matchList(text, list string, fold bool) bool {
	if fold {
		text, list = strings.ToLower(text), strings.ToLower(list)
	}
	return matchHost(text, strings.Split(list, ","))
}

// criterion is one condition of a Match line.
type criterion struct {
	name, arg string
	negated   bool
}

// criteria reads the conditions of a Match line; ok is false when ssh(1) would refuse it.
func criteria(args []string) (out []criterion, ok bool) {
	var flat []string
	for _, a := range args {
		// host=x is host x, and host = x too
		if name, value, found := strings.Cut(a, "="); found && len(flat)%2 == 0 && name != "" && !strings.ContainsAny(name, ",*?") {
			flat = append(flat, name)
			a = value
		}
		if a = strings.TrimPrefix(a, "="); a != "" {
			flat = append(flat, a)
		}
	}
	for i := 0; i < len(flat); i++ {
		c := criterion{name: strings.ToLower(strings.TrimPrefix(flat[i], "!")), negated: strings.HasPrefix(flat[i], "!")}
		switch c.name {
		case "all":
			// The last one, with one condition before it at most.
			if len(out) > 1 || i+1 < len(flat) {
				return nil, false
			}
		case "canonical", "final":
		default:
			if i++; i >= len(flat) {
				return nil, false
			}
			c.arg = flat[i]
		}
		out = append(out, c)
	}
	return out, len(out) > 0
}

// asksFinal tells whether a Match line wants the files to be read a second time.
func asksFinal(args []string) bool {
	conditions, _ := criteria(args)
	for _, c := range conditions {
		if c.name == "final" {
			return true
		}
	}
	return false
}
