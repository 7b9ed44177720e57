package sshconfig

import (
	"fmt"
	"net/netip"
	"strings"
)

// Query asks for one host. HostName, User, Jump and Port, where given, are stronger than the files, like -o on ssh's command line.
type Query struct {
	// Host as one would type it after ssh.
	Host string
	// HostName, User: "" leaves them to the files; Port: 0 does.
	HostName, User string
	Port           int
	// Jump: how the host is reached is decided elsewhere; ProxyJump and ProxyCommand of the files are passed over.
	Jump bool
}

// Value is a directive that applies.
type Value struct {
	// Keyword as written, Args as words, Rest the whole line after the keyword.
	Keyword, Rest string
	Args          []string
	File          string
	Line          int
}

// Answer is what applies to a host.
type Answer struct {
	// HostName with %h filled, User and Port, from the query, the files, or the defaults: the host in small letters, the local user, 22.
	HostName, User string
	Port           int
	// Values by keyword in small letters, as in the files. Only identityfile and certificatefile can have several.
	Values map[string][]Value
	// Unsure are conditions that could not be tried (Match exec …): their blocks were passed over.
	Unsure []Value
	// Mistakes are values that ssh(1) would refuse.
	Mistakes Mistakes

	query Query
	home  string
	local string
}

// several are the directives of which every one counts.
var several = map[string]bool{"identityfile": true, "certificatefile": true}

// Resolve gives what applies to a host.
func (c *Config) Resolve(q Query) *Answer {
	a := &Answer{Values: map[string][]Value{}, query: q, HostName: q.HostName, User: q.User, Port: q.Port, home: c.home, local: c.localUser}
	s := &scan{Answer: a, config: c}
	for _, f := range c.files {
		s.file(f, true)
	}
	if s.wantFinal {
		a.finishHostName()
		s.final = true
		for _, f := range c.files {
			s.file(f, true)
		}
	}
	a.finishHostName()
	if a.User == "" {
		a.User = c.localUser
	}
	if a.Port == 0 {
		a.Port = 22
	}
	return a
}

// finishHostName fills %h, or takes the host itself.
func (a *Answer) finishHostName() {
	if a.query.HostName != "" {
		a.HostName = a.query.HostName
		return
	}
	host := a.query.Host
	if _, err := netip.ParseAddr(host); err != nil {
		host = strings.ToLower(host)
	}
	if a.HostName == "" {
		a.HostName = host
		return
	}
	name, err := expand(a.HostName, map[byte]string{'h': host})
	if err != nil {
		for _, v := range a.Values["hostname"] {
			a.mistake(v, "%v", err)
		}
		return
	}
	a.HostName = name
	a.query.HostName = name // so that a second call changes nothing
	delete(a.Values, "hostname")
}

func (a *Answer) mistake(v Value, format string, args ...any) {
	a.Mistakes = append(a.Mistakes, Mistake{v.File, v.Line, v.Keyword + ": " + fmt.Sprintf(format, args...)})
}

// scan is one walk through the files.
type scan struct {
	*Answer
	config           *Config
	final, wantFinal bool
}

// file walks through one file; active tells whether its first lines apply. Blocks of an included file end with it.
func (s *scan) file(f *file, active bool) {
	enclosing := active
	for _, l := range f.lines {
		switch l.keyword {
		case "host":
			active = enclosing && matchHost(s.hostForHost(), l.args)
		case "match":
			s.wantFinal = s.wantFinal || asksFinal(l.args) // even where it cannot apply
			active = enclosing && s.match(f, l)
		case "include":
			for _, inner := range l.includes {
				s.file(inner, active)
			}
		default:
			if active {
				s.take(Value{l.written, l.rest, l.args, f.path, l.number})
			}
		}
	}
}

// hostForHost is what Host lines are compared with: the host as typed, in the final pass its host name.
func (s *scan) hostForHost() string {
	if s.final {
		return s.HostName
	}
	return s.query.Host
}

// match tells whether every condition of a Match line holds.
func (s *scan) match(f *file, l line) bool {
	v := Value{l.written, l.rest, l.args, f.path, l.number}
	conditions, ok := criteria(l.args)
	if !ok {
		s.mistake(v, "%s is no list of conditions", l.rest)
		return false
	}
	for _, c := range conditions {
		var holds bool
		switch c.name {
		case "all":
			holds = true
		case "final", "canonical":
			holds = s.final
		case "host":
			holds = matchList(s.hostNow(), c.arg, true)
		case "originalhost":
			holds = matchList(s.query.Host, c.arg, true)
		case "user":
			user := s.User
			if user == "" {
				user = s.local
			}
			holds = matchList(user, c.arg, false)
		case "localuser":
			holds = matchList(s.local, c.arg, false)
		default:
			v.Args = []string{c.name}
			s.Unsure = append(s.Unsure, v)
			return false
		}
		if holds == c.negated {
			return false
		}
	}
	return true
}

// hostNow is the host name as far as it is known at this line.
func (s *scan) hostNow() string {
	if s.HostName == "" {
		return s.query.Host
	}
	name, err := expand(s.HostName, map[byte]string{'h': s.query.Host})
	if err != nil {
		return s.HostName
	}
	return name
}

// take records a directive, unless an earlier one has settled the matter.
func (s *scan) take(v Value) {
	key := strings.ToLower(v.Keyword)
	if len(v.Args) == 0 && key != "proxycommand" && key != "proxyjump" {
		s.mistake(v, "has no argument")
		return
	}
	switch key {
	case "hostname":
		if s.HostName == "" {
			s.HostName = v.Args[0]
			s.Values[key] = []Value{v}
		}
		return
	case "user":
		if s.User == "" {
			s.User = v.Args[0]
		}
		return
	case "port":
		if s.Port == 0 {
			s.Port = s.port(v)
		}
		return
	case "connecttimeout", "serveraliveinterval":
		if strings.EqualFold(v.Args[0], "none") {
			return // for ssh(1) this is the same as nothing said: a later line decides
		}
	case "proxyjump":
		if s.query.Jump || s.Values["proxycommand"] != nil {
			return
		}
	case "proxycommand":
		// ProxyJump none keeps away a later ProxyJump, yet no ProxyCommand.
		if jump := s.Values["proxyjump"]; s.query.Jump || jump != nil && !isNone(jump[0].Rest) {
			return
		}
	}
	switch {
	case several[key]:
		for _, old := range s.Values[key] {
			if old.Args[0] == v.Args[0] {
				return
			}
		}
		s.Values[key] = append(s.Values[key], v)
	case s.Values[key] == nil:
		s.Values[key] = []Value{v}
	}
}

// isNone tells whether the text of ProxyJump or ProxyCommand says none.
func isNone(rest string) bool {
	text, _, _ := strings.Cut(rest, "#")
	return strings.EqualFold(strings.TrimSpace(text), "none")
}
