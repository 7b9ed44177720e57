package postgres

import "fmt"

// Mapping is one line of a pg_ident.conf: in the map, whoever the operating system or certificate calls System may be the role.
type Mapping struct {
	Line              int
	Map, System, Role Token
	// Include is the path of an include directive (16 on); nothing else is set then.
	Include string
}

// ReadIdent gives the mappings of a pg_ident.conf (PostgreSQL manual, 21.2). The first broken line ends the reading with a *SyntaxError.
func ReadIdent(text []byte, major int) ([]Mapping, error) {
	var out []Mapping
	for _, l := range logicalLines(text, major >= 14) {
		fields := splitFields(l.text)
		if len(fields) == 0 {
			continue
		}
		m := Mapping{Line: l.number}
		switch first := fields[0][0].Text; {
		case major >= 16 && IsInclude(first) && len(fields) == 2 && len(fields[1]) == 1:
			m.Include = fields[1][0].Text
		case len(fields) < 3:
			return out, &SyntaxError{l.number, "three words are wanted: map, system user, role"}
		case len(fields[0]) != 1 || len(fields[1]) != 1 || len(fields[2]) != 1:
			return out, &SyntaxError{l.number, "several values in one field"}
		case len(fields) > 3:
			return out, &SyntaxError{l.number, fmt.Sprintf("%q follows the role; names with blanks need quotes", clip(fields[3][0].Text))}
		default:
			m.Map, m.System, m.Role = fields[0][0], fields[1][0], fields[2][0]
		}
		out = append(out, m)
	}
	return out, nil
}
