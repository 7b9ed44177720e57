package inventory

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/tasks/pki"
)

// settings are the variables of one level: of the whole inventory, a group, a host, the command line.
type settings struct {
	// vars as written. typed: the SSH settings among them, read as what they mean.
	vars  map[string]any
	typed map[string]any
	lines map[string]int
}

// over lays the settings of a stronger level over those of s, in place.
func (s *settings) over(strong settings) {
	if len(strong.vars) == 0 && len(strong.typed) == 0 {
		return
	}
	if s.vars == nil {
		s.vars, s.typed, s.lines = map[string]any{}, map[string]any{}, map[string]int{}
	}
	for k, v := range strong.vars {
		s.vars[k] = v
	}
	for k, v := range strong.typed {
		s.typed[k] = v
	}
	for k, v := range strong.lines {
		s.lines[k] = v
	}
}

// settingReaders are the variables that pgfleet itself understands, at every level.
var settingReaders = map[string]func(*reader, entry, string) (any, bool){
	"ssh_user":             (*reader).wordSetting,
	"ssh_host":             (*reader).hostSetting,
	"ssh_port":             (*reader).portSetting,
	"ssh_identity_file":    (*reader).filesSetting,
	"ssh_certificate_file": (*reader).filesSetting,
	"ssh_identities_only":  (*reader).boolSetting,
	"ssh_identity_agent":   (*reader).agentSetting,
	"ssh_known_hosts":      (*reader).filesSetting,
	"ssh_jump":             (*reader).jumpSetting,
	"ssh_host_key_alias":   (*reader).wordSetting,
	"ssh_connect_timeout":  (*reader).durationSetting,
	"ssh_keepalive":        (*reader).durationSetting,
	"become":               (*reader).boolSetting,
	"sudo_password":        (*reader).referenceSetting,
}

// foreign are names that people know from Ansible.
var foreign = map[string]string{
	"ansible_host": "ssh_host (or the key address of the host)", "ansible_ssh_host": "ssh_host (or the key address of the host)",
	"ansible_user": "ssh_user", "ansible_ssh_user": "ssh_user", "ansible_port": "ssh_port", "ansible_ssh_port": "ssh_port",
	"ansible_ssh_private_key_file": "ssh_identity_file", "ansible_private_key_file": "ssh_identity_file",
	"ansible_become": "become", "ansible_become_password": "sudo_password", "ansible_become_pass": "sudo_password",
	"ansible_ssh_common_args": "ssh_jump and your ssh_config", "ansible_ssh_extra_args": "ssh_jump and your ssh_config",
}

// readVars reads a mapping of variables.
func (r *reader) readVars(n *yaml.Node, what string) settings {
	var s settings
	for _, e := range r.entries(n, what) {
		r.readVar(&s, e, what)
	}
	return s
}

// readVar reads one variable into s.
func (r *reader) readVar(s *settings, e entry, what string) {
	name := what + "." + e.key
	if s.vars == nil {
		s.vars, s.typed, s.lines = map[string]any{}, map[string]any{}, map[string]int{}
	}
	if read, ok := settingReaders[e.key]; ok {
		value, ok := read(r, e, name)
		if ok {
			s.typed[e.key] = value
		}
		s.vars[e.key] = r.plain(e.value, name)
		s.lines[e.key] = e.line
		return
	}
	switch {
	case foreign[e.key] != "":
		r.add(e.line, "%s: is called %s here", name, foreign[e.key])
	case strings.HasPrefix(e.key, "ssh_") || strings.HasPrefix(e.key, "sudo_"):
		r.add(e.line, "%s: is not a setting that pgfleet knows%s", name, suggest(e.key, keysOf(settingReaders)))
	case !variableRE.MatchString(e.key):
		r.add(e.line, "%s: a variable's name is letters, digits and _, and no digit first", name)
	default:
		s.vars[e.key] = r.plain(e.value, name)
		s.lines[e.key] = e.line
	}
}

func (r *reader) wordSetting(e entry, what string) (any, bool) {
	text, ok := r.text(e, what)
	if ok && (strings.ContainsAny(text, " \t\r\n\x00") || strings.HasPrefix(text, "-")) {
		r.add(e.value.Line, "%s: %q must be one word and not begin with -", what, short(text))
		return nil, false
	}
	return text, ok
}

func (r *reader) hostSetting(e entry, what string) (any, bool) {
	text, ok := r.text(e, what)
	if !ok {
		return nil, false
	}
	if err := checkHost(text); err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
		return nil, false
	}
	return address(text, false), true
}

func (r *reader) portSetting(e entry, what string) (any, bool) {
	n, err := strconv.Atoi(e.value.Value)
	if e.value.Kind != yaml.ScalarNode || err != nil || n < 1 || n > 65535 {
		r.add(e.value.Line, "%s: wants a port number from 1 to 65535", what)
		return nil, false
	}
	return n, true
}

func (r *reader) boolSetting(e entry, what string) (any, bool) {
	return r.boolean(e.value, what)
}

// durationSetting reads 30s, 2m, or a number of seconds.
func (r *reader) durationSetting(e entry, what string) (any, bool) {
	if e.value.Kind == yaml.ScalarNode {
		if n, err := strconv.Atoi(e.value.Value); err == nil && n > 0 && n <= 86400 {
			return time.Duration(n) * time.Second, true
		}
		d, err := pki.ParseDuration(e.value.Value)
		if err == nil && d >= time.Second && d <= 24*time.Hour {
			return d, true
		}
	}
	r.add(e.value.Line, "%s: wants a time from 1s to 24h; write for example 30s", what)
	return nil, false
}

// filesSetting reads one path or a list of paths; relative ones count from the inventory's folder.
func (r *reader) filesSetting(e entry, what string) (any, bool) {
	var out []string
	for _, it := range r.list(e.value, what, false) {
		path, err := r.path(it.text)
		if err != nil {
			r.add(it.line, "%s: %v", what, err)
			continue
		}
		out = append(out, path)
	}
	return out, len(out) > 0
}

func (r *reader) agentSetting(e entry, what string) (any, bool) {
	text, ok := r.text(e, what)
	if !ok || text == "none" {
		return text, ok
	}
	path, err := r.path(text)
	if err != nil {
		r.add(e.value.Line, "%s: %v", what, err)
	}
	return path, err == nil
}

// jumpSetting reads the bastions in order: a list, or a text with commas. none (or an empty list) means a direct connection.
func (r *reader) jumpSetting(e entry, what string) (any, bool) {
	hops := []hop{}
	if e.value.Kind == yaml.SequenceNode && len(e.value.Content) == 0 {
		return hops, true
	}
	items := r.list(e.value, what, true)
	if len(items) == 1 && strings.EqualFold(items[0].text, "none") {
		return hops, true
	}
	for _, it := range items {
		h, err := parseHop(it.text)
		if err != nil {
			r.add(it.line, "%s: %v", what, err)
			return nil, false
		}
		hops = append(hops, h)
	}
	return hops, len(hops) > 0
}

func (r *reader) referenceSetting(e entry, what string) (any, bool) {
	return r.reference(e.value, what)
}

// reference reads {env: NAME}, {file: PATH} or {command: [WORD, …]}. Messages never repeat what is written: it may be the secret.
func (r *reader) reference(n *yaml.Node, what string) (map[string]any, bool) {
	const want = "wants a reference: {env: NAME}, {file: PATH} or {command: [WORD, …]}"
	if n.Kind != yaml.MappingNode {
		r.add(n.Line, "%s: %s; a password as plain text does not belong in an inventory", what, want)
		return nil, false
	}
	entries := r.entries(n, what)
	if len(entries) != 1 {
		r.add(n.Line, "%s: %s, exactly one of them", what, want)
		return nil, false
	}
	e := entries[0]
	switch e.key {
	case "env":
		if name, ok := r.text(e, what+".env"); ok {
			if !variableRE.MatchString(name) {
				r.add(e.value.Line, "%s.env: wants the name of a variable: letters, digits and _", what)
				return nil, false
			}
			return map[string]any{"env": name}, true
		}
	case "file":
		if text, ok := r.text(e, what+".file"); ok {
			path, err := r.path(text)
			if err != nil {
				r.add(e.value.Line, "%s.file: %v", what, err)
				return nil, false
			}
			return map[string]any{"file": path}, true
		}
	case "command":
		if e.value.Kind != yaml.SequenceNode || len(e.value.Content) == 0 {
			r.add(e.value.Line, "%s.command: wants a list of words: [pass, show, db]; no shell reads them", what)
			return nil, false
		}
		var words []any
		for _, it := range r.list(e.value, what+".command", false) {
			words = append(words, it.text)
		}
		return map[string]any{"command": words}, len(words) == len(e.value.Content)
	default:
		r.add(e.line, "%s: %s", what, want)
	}
	return nil, false
}

// path makes a path of the controller absolute: ~ is the home folder, others count from the inventory's folder.
func (r *reader) path(text string) (string, error) {
	switch {
	case strings.ContainsRune(text, 0):
		return "", fmt.Errorf("a path holds no zero byte")
	case text == "~" || strings.HasPrefix(text, "~/"):
		if r.opt.Home == "" {
			return "", fmt.Errorf("~ is used, but the home folder is unknown (set HOME)")
		}
		return filepath.Join(r.opt.Home, text[1:]), nil
	case strings.HasPrefix(text, "~"):
		return "", fmt.Errorf("%q: only ~/ is understood, not another user's home", short(text))
	case filepath.IsAbs(text):
		return filepath.Clean(text), nil
	}
	return filepath.Join(r.dir, text), nil
}
