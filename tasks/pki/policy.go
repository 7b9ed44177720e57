package pki

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Policy is what an authority in mode restricted signs, as the file on its host says it: "KEY VALUE" lines, '#' begins a comment. The program there
// holds it against the bytes that are to be signed.
type Policy struct {
	// Folder of the authority on its host (key folder).
	Folder string
	// Profiles of leaves (key profile, one a line). Names are patterns ('*' and '?') of which each name of a leaf matches one (key name).
	Profiles []Profile
	Names    []string
	// Reserved are patterns, in small letters, of common names that no client gets (key reserved).
	Reserved []string
	// Life is the longest life of a leaf in days (key life). PerDay is the number of certificates within 24 hours, 0: any (key per_day).
	Life, PerDay int
	// ListLeast: a list lasts at least so many days, or until its authority ends (key list_least).
	ListLeast int
	// PassphraseFile, on the host, may be used for the authority's key; "": none (key passphrase_file).
	PassphraseFile string
	// Below are the authorities that may be signed (key authority).
	Below []PolicyAuthority
}

// PolicyAuthority is an authority that a root may sign: "authority PATHLENGTH DAYS SUBJECT", the subject as FormatSubject writes it.
type PolicyAuthority struct {
	PathLength, Days int
	Subject          string
}

// String is the file.
func (p Policy) String() string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s %v\n", key, value) }
	line("folder", p.Folder)
	for _, v := range p.Profiles {
		line("profile", v)
	}
	for _, v := range p.Names {
		line("name", v)
	}
	for _, v := range p.Reserved {
		line("reserved", v)
	}
	line("life", p.Life)
	if p.PerDay > 0 {
		line("per_day", p.PerDay)
	}
	line("list_least", p.ListLeast)
	if p.PassphraseFile != "" {
		line("passphrase_file", p.PassphraseFile)
	}
	for _, v := range p.Below {
		line("authority", fmt.Sprintf("%d %d %s", v.PathLength, v.Days, v.Subject))
	}
	return b.String()
}

// maxPolicy is the size of a policy file, in bytes, that ParsePolicy reads.
const maxPolicy = 1 << 20

// ParsePolicy reads the file. An error names the line.
func ParsePolicy(data []byte) (Policy, error) {
	var p Policy
	if len(data) > maxPolicy {
		return p, errors.New("the file is too large")
	}
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := strings.Trim(string(raw), " ")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		if err := p.set(key, strings.TrimLeft(value, " ")); err != nil {
			return p, fmt.Errorf("line %d: %s: %w", i+1, key, err)
		}
	}
	if p.Folder == "" {
		return p, errors.New("folder is missing")
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	if value == "" {
		return errors.New("has no value")
	}
	switch key {
	case "folder":
		p.Folder = value
	case "profile":
		p.Profiles = append(p.Profiles, Profile(value))
	case "name":
		p.Names = append(p.Names, value)
	case "reserved":
		p.Reserved = append(p.Reserved, value)
	case "life":
		return policyNumber(value, &p.Life)
	case "per_day":
		return policyNumber(value, &p.PerDay)
	case "list_least":
		return policyNumber(value, &p.ListLeast)
	case "passphrase_file":
		p.PassphraseFile = value
	case "authority":
		f := strings.SplitN(value, " ", 3)
		if len(f) != 3 {
			return errors.New("wants PATHLENGTH DAYS SUBJECT")
		}
		a := PolicyAuthority{Subject: f[2]}
		p.Below = append(p.Below, a)
		last := &p.Below[len(p.Below)-1]
		return errors.Join(policyNumber(f[0], &last.PathLength), policyNumber(f[1], &last.Days))
	default:
		return errors.New("is not one of folder, profile, name, reserved, life, per_day, list_least, passphrase_file, authority")
	}
	return nil
}

// policyNumber reads what the program on the host reads too: at most five digits.
func policyNumber(text string, to *int) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || len(text) > 5 || text[0] == '+' {
		return fmt.Errorf("%.20q is not a number of at most five digits", text)
	}
	*to = n
	return nil
}

// Beyond gives what a policy allows that another one does not, in words; none: it is the same or stricter.
func (p Policy) Beyond(wanted Policy) []string {
	var out []string
	more := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, v := range p.Profiles {
		if !slices.Contains(wanted.Profiles, v) {
			more("certificates of profile %s", v)
		}
	}
	for _, v := range p.Names {
		if !slices.ContainsFunc(wanted.Names, func(w string) bool { return covers(w, v) }) {
			more("names like %s", v)
		}
	}
	for _, v := range wanted.Reserved {
		if !slices.ContainsFunc(p.Reserved, func(w string) bool { return covers(w, v) }) {
			more("the user %s", v)
		}
	}
	if p.Life > wanted.Life {
		more("a life of %d days instead of %d", p.Life, wanted.Life)
	}
	if wanted.PerDay > 0 && (p.PerDay == 0 || p.PerDay > wanted.PerDay) {
		more("%d certificates a day instead of %d (0: any number)", p.PerDay, wanted.PerDay)
	}
	if p.ListLeast < wanted.ListLeast {
		more("lists of %d days instead of %d", p.ListLeast, wanted.ListLeast)
	}
	if p.PassphraseFile != "" && p.PassphraseFile != wanted.PassphraseFile {
		more("the file with a passphrase %s", p.PassphraseFile)
	}
	for _, v := range p.Below {
		i := slices.IndexFunc(wanted.Below, func(w PolicyAuthority) bool { return w.Subject == v.Subject })
		switch {
		case i < 0:
			more("an authority %s", v.Subject)
		case v.PathLength > wanted.Below[i].PathLength || v.Days > wanted.Below[i].Days:
			more("a longer life or path of authority %s", v.Subject)
		}
	}
	return out
}

// covers tells whether everything that the second pattern fits, the first one fits too. It may miss one that '*' and '?' together make so.
func covers(wide, narrow string) bool {
	if wide == "" || narrow == "" {
		return wide == narrow || wide == "*"
	}
	switch {
	case wide[0] == '*':
		return covers(wide[1:], narrow) || covers(wide, narrow[1:])
	case narrow[0] == '*':
		return false
	}
	return (wide[0] == '?' || wide[0] == narrow[0]) && covers(wide[1:], narrow[1:])
}
