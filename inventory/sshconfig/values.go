package sshconfig

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// port reads a port number or a service's name.
func (a *Answer) port(v Value) int {
	n, err := strconv.Atoi(v.Args[0])
	if err != nil {
		n, err = net.LookupPort("tcp", v.Args[0])
	}
	if err != nil || n < 1 || n > 65535 {
		a.mistake(v, "%q is no port", v.Args[0])
		return 0
	}
	return n
}

// Text gives a directive's first word, "" when nothing says it.
func (a *Answer) Text(keyword string) string {
	if v := a.Values[keyword]; v != nil {
		return v[0].Args[0]
	}
	return ""
}

// Bool tells whether a directive says yes.
func (a *Answer) Bool(keyword string) bool {
	v := a.Values[keyword]
	if v == nil {
		return false
	}
	switch strings.ToLower(v[0].Args[0]) {
	case "yes", "true":
		return true
	case "no", "false":
		return false
	}
	a.mistake(v[0], "%q is neither yes nor no", v[0].Args[0])
	return false
}

// Duration reads sshd_config(5) TIME FORMATS: 90, 1m30s, 2h; what is not said gives 0.
func (a *Answer) Duration(keyword string) time.Duration {
	v := a.Values[keyword]
	if v == nil {
		return 0
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	total, rest := time.Duration(0), strings.ToLower(v[0].Args[0])
	for rest != "" {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		unit := time.Second
		digits := rest
		if end >= 0 {
			digits, unit = rest[:end], units[rest[end]]
			rest = rest[end+1:]
		} else {
			rest = ""
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || unit == 0 {
			a.mistake(v[0], "%q is no time", v[0].Args[0])
			return 0
		}
		total += time.Duration(n) * unit
	}
	return total
}

// Paths gives the files that a directive names, with ~, ${VARIABLES} and tokens filled, absolute. none is left out; named tells
// whether the directive was given at all.
func (a *Answer) Paths(keyword string) (paths []string, named bool) {
	for _, v := range a.Values[keyword] {
		for _, text := range v.Args {
			named = true
			if strings.EqualFold(text, "none") {
				continue
			}
			path, err := a.path(text)
			if err != nil {
				a.mistake(v, "%v", err)
				continue
			}
			paths = append(paths, path)
		}
	}
	return paths, named
}

// Agent gives the agent's socket: "" for $SSH_AUTH_SOCK or where nothing is said, "none", or a path.
func (a *Answer) Agent() string {
	v := a.Values["identityagent"]
	if v == nil {
		return ""
	}
	text := v[0].Args[0]
	switch {
	case text == "SSH_AUTH_SOCK" || text == "$SSH_AUTH_SOCK":
		return ""
	case strings.EqualFold(text, "none"):
		return "none"
	case strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "${"):
		value, ok := os.LookupEnv(text[1:])
		if !ok || value == "" {
			a.mistake(v[0], "the variable %s is not set", text)
		}
		return value
	}
	path, err := a.path(text)
	if err != nil {
		a.mistake(v[0], "%v", err)
	}
	return path
}

// Jumps gives the bastions of ProxyJump as written, the first to be passed first; none gives nothing.
func (a *Answer) Jumps() []string {
	v := a.Values["proxyjump"]
	if v == nil || isNone(v[0].Rest) {
		return nil
	}
	text, _, _ := strings.Cut(v[0].Rest, "#")
	text, err := expand(strings.TrimSpace(text), map[byte]string{'h': a.HostName, 'n': a.query.Host, 'p': strconv.Itoa(a.Port), 'r': a.User})
	if err != nil {
		a.mistake(v[0], "%v", err)
		return nil
	}
	return strings.Split(text, ",")
}

// Command gives ProxyCommand as written, "" when there is none.
func (a *Answer) Command() (Value, bool) {
	v := a.Values["proxycommand"]
	if v == nil || isNone(v[0].Rest) {
		return Value{}, false
	}
	return v[0], true
}

// path fills ~, tokens and variables (ssh_config(5) TOKENS and ENVIRONMENT VARIABLES) and makes it absolute.
func (a *Answer) path(text string) (string, error) {
	text, err := expandHome(text, a.home)
	if err != nil {
		return "", err
	}
	text, err = expand(text, a.tokens())
	if err != nil {
		return "", err
	}
	if text, err = expandVariables(text); err != nil {
		return "", err
	}
	return filepath.Abs(text)
}

// tokens are those of ssh_config(5) that do not depend on a connection. %C, a hash that differs between versions, is not among them.
func (a *Answer) tokens() map[byte]string {
	key := a.HostName
	if alias := a.Text("hostkeyalias"); alias != "" {
		key = alias
	}
	host, _ := os.Hostname() // as ssh(1): without one the token is empty
	label, _, _ := strings.Cut(host, ".")
	return map[byte]string{'h': a.HostName, 'n': a.query.Host, 'p': strconv.Itoa(a.Port), 'r': a.User, 'u': a.local, 'd': a.home,
		'i': strconv.Itoa(os.Getuid()), 'k': key, 'l': host, 'L': label}
}

// expand fills %-tokens; %% is a percent sign.
func expand(text string, tokens map[byte]string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		if i < len(text) && text[i] == '%' {
			b.WriteByte('%')
			continue
		}
		if i >= len(text) {
			return "", fmt.Errorf("%q ends with a lone %%", text)
		}
		value, ok := tokens[text[i]]
		if !ok {
			return "", fmt.Errorf("%q: the token %%%c is not supported here", text, text[i])
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// expandVariables fills ${NAME}; a variable that is not set is a mistake, as for ssh(1).
func expandVariables(text string) (string, error) {
	var b strings.Builder
	for {
		start := strings.Index(text, "${")
		if start < 0 {
			return b.String() + text, nil
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return "", fmt.Errorf("%q: ${ without its }", text)
		}
		name := text[start+2 : start+end]
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		b.WriteString(text[:start] + value)
		text = text[start+end+1:]
	}
}

// expandHome fills ~ and ~user at the start of a path.
func expandHome(text, home string) (string, error) {
	if !strings.HasPrefix(text, "~") {
		return text, nil
	}
	name, rest, _ := strings.Cut(text[1:], "/")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("%q: no user %s here", text, name)
		}
		home = u.HomeDir
	}
	if home == "" {
		return "", fmt.Errorf("%q: the home folder is unknown (set HOME)", text)
	}
	return filepath.Join(home, rest), nil
}
