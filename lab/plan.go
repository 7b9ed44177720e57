package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Role is what a host is for; the words are the inventory's.
type Role string

// The roles.
const (
	RootCA         Role = "root_ca"
	IntermediateCA Role = "intermediate_ca"
	DBServer       Role = "db_server"
	Client         Role = "client"
)

// Host is one host of a lab.
type Host struct {
	// Name is db1.example.net, Short db1 (zero-padded when there are more than 9).
	Name  string `json:"name"`
	Short string `json:"short"`
	// Addr is the IPv4 address, Port where SSH answers: 22, or 2222 when a round-trip time is simulated.
	Addr   string `json:"addr"`
	Port   int    `json:"port"`
	Role   Role   `json:"role"`
	Access Access `json:"access"`
	// Version of PostgreSQL on a database server, such as "15". Installation is the machine's folder that has it; "": Debian's.
	Version      string `json:"postgresql,omitempty"`
	Installation string `json:"installation,omitempty"`
	// PID of the host's first process, in the machine's numbering; 0: the host is off.
	PID int `json:"pid"`
}

// User is the name that the lab's key logs in as.
func (h Host) User() string {
	if h.Access == RootLogin {
		return "root"
	}
	return AdminUser
}

// plan gives the hosts, without addresses.
func plan(o Options) ([]Host, error) {
	hosts := []Host{{Short: "ca1", Role: RootCA}, {Short: "ca2", Role: RootCA}, {Short: "ca3", Role: IntermediateCA}}
	hosts = append(hosts, numbered("db", o.DB, DBServer)...)
	hosts = append(hosts, numbered("app", o.Client, Client)...)
	for i := range hosts {
		h := &hosts[i]
		h.Name = h.Short + "." + Domain
		h.Access = Sudo
		h.Port = 22
		if o.RTT > 0 {
			h.Port = 2222
		}
	}
	for _, v := range o.Variants {
		if !apply(v, hosts) {
			return nil, fmt.Errorf("variant %s=%s: this lab has no such host", v.Hosts, v.Access)
		}
	}
	for short, folder := range o.PostgreSQL {
		i := slices.IndexFunc(hosts, func(h Host) bool { return h.Short == short && h.Role == DBServer })
		if i < 0 {
			return nil, fmt.Errorf("PostgreSQL in %s for %s: this lab has no such database server", folder, short)
		}
		hosts[i].Installation = folder
	}
	return hosts, nil
}

func numbered(prefix string, n int, role Role) []Host {
	width := len(fmt.Sprint(n))
	hosts := make([]Host, n)
	for i := range hosts {
		hosts[i] = Host{Short: fmt.Sprintf("%s%0*d", prefix, width, i+1), Role: role}
	}
	return hosts
}

func apply(v Variant, hosts []Host) bool {
	found := false
	for i := range hosts {
		h := &hosts[i]
		if v.Hosts == "" || v.Hosts == h.Short || v.Hosts == strings.TrimRight(h.Short, "0123456789") {
			h.Access, found = v.Access, true
		}
	}
	return found
}

// number gives the hosts their addresses in a subnet: authorities from .11, then each role from the next ten.
func number(hosts []Host, subnet netip.Prefix) {
	base := subnet.Masked().Addr().As4()
	offset := 10
	for i := range hosts {
		if i > 0 && prefixOf(hosts[i]) != prefixOf(hosts[i-1]) {
			offset = (offset + 9) / 10 * 10
		}
		offset++
		value := int(base[2])<<8 + int(base[3]) + offset
		hosts[i].Addr = netip.AddrFrom4([4]byte{base[0], base[1], byte(value >> 8), byte(value)}).String()
	}
}

func prefixOf(h Host) string { return strings.TrimRight(h.Short, "0123456789") }

// subnetBits is the size of the network for a number of hosts: /24, /23 or /22.
func subnetBits(hosts int) int {
	for bits, room := 24, 256; ; bits, room = bits-1, room*2 {
		if hosts+40 <= room {
			return bits
		}
	}
}

// freeSubnet is the first network of 10.88.0.0/16 that touches none of those in use. A wide network of others (a container
// engine's default is 10.88.0.0/16) only takes the part where its own address lies: the lab's route is the closer one.
func freeSubnet(bits int, used []netip.Prefix) (netip.Prefix, error) {
	for third := 0; third < 256; third += 1 << (24 - bits) {
		candidate := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, byte(third), 0}), bits)
		if !taken(candidate, used) {
			return candidate, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("find a free network in 10.88.0.0/16: all are in use by this machine's interfaces; end a lab with: pgfleet-lab down --name NAME")
}

func taken(candidate netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if candidate.Contains(u.Addr()) || u.Bits() >= 20 && candidate.Overlaps(u.Masked()) {
			return true
		}
	}
	return false
}
