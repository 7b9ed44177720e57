package pki

// Generations gives the declared authorities that a name means, oldest first: the one of that name, and those that replace it, one after the other. Where the
// name is declared no more, its successor is alone. None: the name means nothing.
func Generations(declared map[string]Authority, name string) []string {
	var out []string
	if _, ok := declared[name]; ok {
		out = append(out, name)
	}
	for n := 0; n < len(declared); n++ {
		next := Successor(declared, name)
		if next == "" {
			break
		}
		out, name = append(out, next), next
	}
	return out
}

// Successor gives the declared authority that replaces the one of a name, "" when none does.
func Successor(declared map[string]Authority, name string) string {
	for _, a := range declared {
		if a.Replaces == name && name != "" {
			return a.Name
		}
	}
	return ""
}

// Line gives the name under which an authority and those before it are meant by whoever has named the first of them: its own, or that of the one it replaces, and so on.
func Line(declared map[string]Authority, name string) string {
	for n := 0; n <= len(declared); n++ {
		a, ok := declared[name]
		if !ok || a.Replaces == "" {
			break
		}
		name = a.Replaces
	}
	return name
}
