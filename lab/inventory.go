package lab

import (
	"fmt"
	"strings"
)

// Inventory is the inventory file of the lab: the walkthrough's roles, authorities and one identity a client.
func (l *Lab) Inventory() string { return inventoryText(l.state) }

func inventoryText(s state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The hosts of lab %s, written by pgfleet-lab up.\n", s.Name)
	b.WriteString("vars:\n  ssh_user: ops\n  become: true\n")
	fmt.Fprintf(&b, "  ssh_identity_file: %s\n  ssh_known_hosts: %s\n  ssh_identities_only: true\n", s.path(keyFile), s.path(knownHostsFile))
	if s.RTT > 0 {
		b.WriteString("  ssh_port: 2222\n")
	}
	b.WriteString("\nhosts:\n")
	for _, h := range s.Hosts {
		inventoryHost(&b, s, h)
	}
	b.WriteString(inventoryAuthorities)
	return b.String()
}

func inventoryHost(b *strings.Builder, s state, h Host) {
	fmt.Fprintf(b, "  %s:\n    address: %s\n    roles: [%s]\n", h.Name, h.Addr, h.Role)
	if h.Role == Client {
		b.WriteString("    connects_to: [db_server]\n    identities: {postgres: [dbuser1]}\n")
	}
	if h.Role == DBServer && s.Standby > 0 {
		b.WriteString("    identities: {postgres: [{user: replicator, replication: true, allow_privileged: true}]}\n")
	}
	switch h.Access {
	case RootLogin:
		b.WriteString("    vars: {ssh_user: root, become: false}\n")
	case NoSudo:
		b.WriteString("    vars: {become: false}\n")
	case SudoPassword:
		fmt.Fprintf(b, "    vars: {sudo_password: {file: %s}}\n", s.path(passwordFile))
	}
}

const inventoryAuthorities = `
authorities:
  clients:      {host: ca1.example.net, subject: "CN=root-ca1", valid_for: 3650d}
  servers_root: {host: ca2.example.net, subject: "CN=root-ca2", valid_for: 3650d}
  servers:      {host: ca3.example.net, issuer: servers_root, subject: "CN=intermediate.example.net", valid_for: 1825d}
`
