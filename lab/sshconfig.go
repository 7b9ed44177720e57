package lab

import (
	"fmt"
	"strings"
)

// The controller's files in the state folder.
const (
	keyFile        = "id_ed25519"
	knownHostsFile = "known_hosts"
	inventoryFile  = "inventory.yaml"
	sshConfigFile  = "ssh_config"
	passwordFile   = "sudo_password"
)

// SSHConfig is an ssh_config for the lab's hosts, for ssh -F: only the lab's key, only the lab's host keys.
func (l *Lab) SSHConfig() string { return sshConfigText(l.state) }

func sshConfigText(s state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The hosts of lab %s, written by pgfleet-lab up.\n", s.Name)
	for _, h := range s.Hosts {
		fmt.Fprintf(&b, "Host %s %s\n  HostName %s\n  User %s\n", h.Short, h.Name, h.Addr, h.User())
		if h.Port != 22 {
			fmt.Fprintf(&b, "  Port %d\n", h.Port)
		}
	}
	b.WriteString("Host *\n")
	fmt.Fprintf(&b, "  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n", s.path(keyFile), s.path(knownHostsFile))
	b.WriteString("  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n")
	return b.String()
}

// knownHostsLines gives a line a key: known under name, short name and address, on the port where SSH answers and on 22.
func knownHostsLines(h Host, publicKeys []string) string {
	names := []string{h.Name, h.Short, h.Addr}
	if h.Port != 22 {
		for _, n := range []string{h.Name, h.Short, h.Addr} {
			names = append(names, fmt.Sprintf("[%s]:%d", n, h.Port))
		}
	}
	var b strings.Builder
	for _, key := range publicKeys {
		fields := strings.Fields(key)
		fmt.Fprintf(&b, "%s %s %s\n", strings.Join(names, ","), fields[0], fields[1])
	}
	return b.String()
}
