// Package inventory reads the list of hosts, roles, groups, authorities and identities, and answers which hosts a pattern means. It
// opens no connection.
package inventory

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgfleet/pgfleet/tasks/pki"
	"github.com/pgfleet/pgfleet/transport"
)

// Inventory is a parsed and checked inventory file: a plain value.
type Inventory struct {
	// File it came from, for messages.
	File string
	// Hosts in the order of the file, ranges expanded.
	Hosts []*Host
	// Groups: name to host names, in order. Roles are groups too.
	Groups map[string][]string
	// Authorities by name.
	Authorities map[string]pki.Authority
	// Warnings: what was understood in part (ssh_config directives that are not supported), for the user to read.
	Warnings []string

	index *index
}

// Host is one host with everything the inventory says of it; variables are merged with their precedence already applied.
type Host struct {
	// Name is unique. Address is dialled (key address; default: the name). Line in the inventory file.
	Name, Address string
	Line          int
	// Names are further names and addresses (key names).
	Names  []string
	Roles  []string
	Groups []string
	// Clusters chosen ("15/main"); none: all that are found.
	Clusters []string
	// ConnectsTo is resolved: names of hosts with role db_server, in inventory order. Hosts share slices: read only.
	ConnectsTo []string
	Identities []Identity
	// Vars: all, group, host variables merged. SSH settings are among them and in Target.
	Vars   map[string]any
	Target transport.Target
	// SudoPassword: become needs a password, which is asked for (-K) or referenced ({env|file|command}); nil: none.
	SudoPassword map[string]any
}

// HasRole tells whether the host has a role.
func (h *Host) HasRole(role string) bool {
	for _, r := range h.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Identity is one database user for one OS user on a client.
type Identity struct {
	OSUser, DBUser string
	// Databases admitted; none: all.
	Databases []string
	// Home is the folder in the place of the OS user's home directory; "": that. The identities of an OS user have the same.
	Home string
	// Default: libpq's default file names too. AllowPrivileged: see tasks.Identity.
	Default, AllowPrivileged bool
	// Password: a reference {env|file|command}, nil: none.
	Password map[string]any
	// AfterChange runs once the certificate has changed; nil: nothing does. P12: a PKCS#12 file too.
	AfterChange *Command
	P12         bool
	// Replication: standbys stream as this user. The host is a db_server.
	Replication bool
}

// Host gives a host by name.
func (inv *Inventory) Host(name string) (*Host, bool) {
	if inv.index != nil && len(inv.index.hosts) == len(inv.Hosts) {
		h, ok := inv.index.byName[strings.ToLower(name)]
		return h, ok
	}
	for _, h := range inv.Hosts {
		if strings.EqualFold(h.Name, name) {
			return h, true
		}
	}
	return nil, false
}

// Problem is one mistake in a file that the user wrote.
type Problem struct {
	// File and Line (from 1; 0: the file as a whole). Text: what is wrong and what is allowed.
	File string
	Line int
	Text string
}

// Problems is every mistake of a file at once; it is an error. Nothing was contacted, exit code 5.
type Problems []Problem

// Error gives one line a problem: file:line: text.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		if x.Line > 0 {
			lines[i] = fmt.Sprintf("%s:%d: %s", x.File, x.Line, x.Text)
		} else {
			lines[i] = fmt.Sprintf("%s: %s", x.File, x.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// Options change how an inventory is read.
type Options struct {
	// SSHConfig is the user's ssh_config; "" means ~/.ssh/config and /etc/ssh/ssh_config, "none" reads none.
	SSHConfig string
	// ConnectTimeout overrides every host's when not 0.
	ConnectTimeout time.Duration
	// Vars from the command line (-e name=value) win over every level; SSH settings among them change the targets.
	Vars map[string]any
	// Home is the folder that ~ means; "" is the user's. LocalUser is who runs pgfleet; "" asks the system.
	Home, LocalUser string
}
