package inventory

import (
	"os/user"
	"sort"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgfleet/pgfleet/transport"
)

// commandLine reads the variables given with -e.
func (r *reader) commandLine() settings {
	var s settings
	names := keysOf(r.opt.Vars)
	sort.Strings(names)
	for _, name := range names {
		var n yaml.Node
		if err := n.Encode(r.opt.Vars[name]); err != nil {
			r.add(0, "-e %s: %v", name, err)
			continue
		}
		r.readVar(&s, entry{key: name, value: &n}, "-e")
	}
	return s
}

// targets fills every host's Target and gives the warnings.
func (r *reader) targets() []string {
	if r.opt.LocalUser == "" {
		if u, err := user.Current(); err == nil {
			r.opt.LocalUser = u.Username
		}
	}
	for _, d := range r.hosts {
		typed := d.own.typed
		t := transport.Target{Name: d.Name, Address: d.Address, Port: 22, User: r.opt.LocalUser, ConnectTimeout: r.opt.ConnectTimeout}
		if v, ok := typed["ssh_host"].(string); ok {
			t.Address = v
		}
		if v, ok := typed["ssh_user"].(string); ok {
			t.User = v
		}
		if v, ok := typed["ssh_port"].(int); ok {
			t.Port = v
		}
		if v, ok := typed["ssh_identity_file"].([]string); ok {
			t.IdentityFiles = v
		}
		if v, ok := typed["ssh_known_hosts"].([]string); ok {
			t.KnownHosts = v
		}
		if v, ok := typed["ssh_keepalive"].(time.Duration); ok {
			t.KeepAlive = v
		}
		t.Become = t.User != "root"
		if v, ok := typed["become"].(bool); ok {
			t.Become = v
		}
		d.Target = t
	}
	return nil
}
