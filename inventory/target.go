package inventory

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/inventory/sshconfig"
	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// commandLine reads the variables given with -e; relative paths among them count from the current folder.
func (r *reader) commandLine() settings {
	var s settings
	dir := r.dir
	defer func() { r.dir = dir }()
	if here, err := os.Getwd(); err == nil {
		r.dir = here
	}
	for _, name := range keysOf(r.opt.Vars) {
		var n yaml.Node
		if err := n.Encode(r.opt.Vars[name]); err != nil {
			r.add(0, "-e %s: %v", name, err)
			continue
		}
		r.readVar(&s, entry{key: name, value: &n}, "-e")
	}
	return s
}

// resolver fills targets: the inventory's settings over the user's ssh_config.
type resolver struct {
	r      *reader
	config *sshconfig.Config
	notes  *notes
	// chains are bastions already resolved, by their text; identities the key files that ssh tries when nothing names one.
	chains     map[string][]transport.Target
	identities []string
}

// targets fills every host's Target and gives the warnings.
func (r *reader) targets() []string {
	if r.opt.LocalUser == "" {
		if u, err := user.Current(); err == nil {
			r.opt.LocalUser = u.Username
		}
	}
	config, err := r.sshConfig()
	if err != nil {
		return nil
	}
	s := &resolver{r: r, config: config, notes: newNotes(), chains: map[string][]transport.Target{}, identities: defaultIdentities(r.opt.Home)}
	for _, d := range r.hosts {
		s.host(d)
	}
	r.problems = append(r.problems, s.notes.problems()...)
	r.checkAddresses()
	return s.notes.warnings()
}

// sshConfig reads the user's ssh_config; its mistakes are problems, since ssh itself refuses them too.
func (r *reader) sshConfig() (*sshconfig.Config, error) {
	var config *sshconfig.Config
	var err error
	switch r.opt.SSHConfig {
	case "none":
		return sshconfig.None(r.opt.Home, r.opt.LocalUser), nil
	case "":
		config, err = sshconfig.LoadDefault(r.opt.Home, r.opt.LocalUser)
	default:
		config, err = sshconfig.Load(r.opt.SSHConfig, r.opt.Home, r.opt.LocalUser)
	}
	var mistakes sshconfig.Mistakes
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			r.problems = append(r.problems, Problem{File: m.File, Line: m.Line, Text: m.Text})
		}
	} else if err != nil {
		r.add(0, "read ssh_config: %v", err)
	}
	return config, err
}

// defaultIdentities are the key files that ssh tries by itself (ssh_config(5) IdentityFile) and that exist; hardware keys are not among them.
func defaultIdentities(home string) []string {
	var out []string
	for _, name := range []string{"id_rsa", "id_ecdsa", "id_ed25519"} {
		path := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(path); home != "" && err == nil {
			out = append(out, path)
		}
	}
	return out
}

// host fills the target of one host of the inventory.
func (s *resolver) host(d *draft) {
	t, a := s.inventoryTarget(d, hop{})
	t.Jumps = s.jumps(d, a, nil)
	if d.restricted {
		t.Program = pki.RestrictedProgram
	}
	d.Target = t
}

// inventoryTarget resolves a host of the inventory; user and port of via, where given, win (it is being passed as a bastion).
func (s *resolver) inventoryTarget(d *draft, via hop) (transport.Target, *sshconfig.Answer) {
	typed := d.own.typed
	q := sshconfig.Query{Host: d.Name, User: text(typed["ssh_user"]), Port: number0(typed["ssh_port"])}
	if via.user != "" {
		q.User = via.user
	}
	if via.port != 0 {
		q.Port = via.port
	}
	if d.addrLine > 0 {
		q.HostName = d.Address
	}
	if v := text(typed["ssh_host"]); v != "" {
		q.HostName = v
	}
	_, q.Jump = typed["ssh_jump"]
	a := s.config.Resolve(q)
	t := s.fromConfig(a, d.Name, d.Name)
	s.overlay(&t, typed)
	return t, a
}

// fromConfig makes a target of what the ssh_config says.
func (s *resolver) fromConfig(a *sshconfig.Answer, name, blame string) transport.Target {
	t := transport.Target{Name: name, Address: address(a.HostName, false), Port: a.Port, User: a.User, HostKeyAlias: a.Text("hostkeyalias"),
		IdentitiesOnly: a.Bool("identitiesonly"), IdentityAgent: a.Agent(), ConnectTimeout: a.Duration("connecttimeout"),
		KeepAlive: a.Duration("serveraliveinterval"), KnownHosts: s.knownHosts(a)}
	var named bool
	if t.IdentityFiles, named = a.Paths("identityfile"); !named {
		t.IdentityFiles = s.identities
	}
	t.CertificateFiles, _ = a.Paths("certificatefile")
	if s.r.opt.ConnectTimeout != 0 {
		t.ConnectTimeout = s.r.opt.ConnectTimeout
	}
	s.notes.read(a, blame)
	return t
}

// knownHosts gives nil where nothing is said (the transport knows the defaults), else user's and system's files together.
func (s *resolver) knownHosts(a *sshconfig.Answer) []string {
	own, ownNamed := a.Paths("userknownhostsfile")
	global, globalNamed := a.Paths("globalknownhostsfile")
	if !ownNamed && !globalNamed {
		return nil
	}
	if !ownNamed && s.r.opt.Home != "" {
		own = []string{filepath.Join(s.r.opt.Home, ".ssh", "known_hosts"), filepath.Join(s.r.opt.Home, ".ssh", "known_hosts2")}
	}
	if !globalNamed {
		global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	if all := append(append([]string(nil), own...), global...); len(all) > 0 {
		return all
	}
	return []string{os.DevNull} // none and none: no key is known, which is not the same as nothing said
}

// overlay lays the inventory's settings over those of the ssh_config.
func (s *resolver) overlay(t *transport.Target, typed map[string]any) {
	if v, ok := typed["ssh_identity_file"].([]string); ok {
		t.IdentityFiles = v
	}
	if v, ok := typed["ssh_certificate_file"].([]string); ok {
		t.CertificateFiles = v
	}
	if v, ok := typed["ssh_identities_only"].(bool); ok {
		t.IdentitiesOnly = v
	}
	if v, ok := typed["ssh_identity_agent"].(string); ok {
		t.IdentityAgent = v
	}
	if v, ok := typed["ssh_known_hosts"].([]string); ok {
		t.KnownHosts = v
	}
	if v, ok := typed["ssh_host_key_alias"].(string); ok {
		t.HostKeyAlias = v
	}
	if v, ok := typed["ssh_connect_timeout"].(time.Duration); ok && s.r.opt.ConnectTimeout == 0 {
		t.ConnectTimeout = v
	}
	if v, ok := typed["ssh_keepalive"].(time.Duration); ok {
		t.KeepAlive = v
	}
	t.Become = t.User != "root"
	if v, ok := typed["become"].(bool); ok {
		t.Become = v
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number0(v any) int {
	n, _ := v.(int)
	return n
}

// checkAddresses reports hosts that are one machine: same address and port by the same way.
func (r *reader) checkAddresses() {
	first, told := map[string]*draft{}, map[int]bool{}
	for _, d := range r.hosts {
		key := strings.ToLower(d.Target.Address) + " " + strconv.Itoa(d.Target.Port)
		for _, j := range d.Target.Jumps {
			key += " " + strings.ToLower(j.Address) + " " + strconv.Itoa(j.Port)
		}
		other, taken := first[key]
		if !taken {
			first[key] = d
			continue
		}
		line := d.addrLine
		if line == 0 {
			line = d.Line
		}
		if !told[line] {
			r.add(line, "hosts.%s: has the address %s of %s (line %d): one machine is one host here, further names stand under its key names",
				d.Name, d.Target.Address, other.Name, other.Line)
		}
		told[line] = true
	}
	for _, d := range r.hosts {
		for _, name := range d.Names {
			if other := r.named(name); other != nil && other != d {
				r.add(d.Line, "%s.names: %s is another host (line %d); its name cannot be in this host's certificate", d.what, name, other.Line)
			}
		}
	}
}

// named gives the draft with a name.
func (r *reader) named(name string) *draft {
	if r.byName == nil {
		r.byName = map[string]*draft{}
		for _, d := range r.hosts {
			r.byName[strings.ToLower(d.Name)] = d
		}
	}
	return r.byName[strings.ToLower(name)]
}
