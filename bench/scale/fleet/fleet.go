// Package fleet simulates hosts for pgfleet: one SSH server that speaks the real protocol, and behind it a model of each host instead of a machine.
//
// A connection is as real as sshd's: key exchange, a host key of its own, login by public key, session channels, direct-tcpip. What runs in a
// session is not a shell: the model knows pgfleet's programs by their whole text (see programs.go), and answers each as a host in that state
// would, changing its files and its server's state. A program that it does not know ends its step with code 97 and is counted: nothing is guessed.
// Hosts with authorities are the exception: there the real tasks/ca.sh runs, in a folder of this machine.
package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Options say what the simulated fleet looks like. The zero value of a field is its default.
type Options struct {
	// Hosts in all: 3 authorities' hosts, the rest servers and clients. PerServer: clients of one server (10); each client uses one server.
	Hosts, PerServer int
	// Dir is an empty folder for the inventory, keys and the authorities. Root is the repository, whose programs the model knows.
	Dir, Root string
	// Delay is what a host takes for one batch of steps (0: none). Slow takes SlowDelay instead for one of them, its first (the look) or that which SlowBatch
	// counts from 1; "" is no host.
	Delay, SlowDelay time.Duration
	Slow             string
	SlowBatch        int
	// TestTime is what the connection tests of a client take.
	TestTime time.Duration
	// Bastion: hosts are reached through one more host, gate.fleet.example.
	Bastion bool
	// MaxSessions a connection (0: 10). Startups is MaxStartups of sshd_config(5) as begin, percent, full, for every host (zero: no limit).
	MaxSessions int
	Startups    [3]int
	// HashedKnownHosts: names in known_hosts are hashed, as Debian's ssh writes them.
	HashedKnownHosts bool
}

// Fleet is a simulated fleet that answers until Close.
type Fleet struct {
	opt      Options
	programs *programs
	listener net.Listener
	user     ssh.PublicKey
	hosts    map[string]*Host // by loopback address
	order    []*Host
	counters counters
}

// Start makes a fleet, writes its inventory.yaml, known_hosts and key to Options.Dir, and answers on one port of all of 127.0.0.0/8.
func Start(opt Options) (*Fleet, error) {
	if opt.PerServer == 0 {
		opt.PerServer = 10
	}
	if opt.MaxSessions == 0 {
		opt.MaxSessions = 10
	}
	if opt.Hosts < 5 {
		return nil, fmt.Errorf("a fleet has at least 5 hosts, not %d", opt.Hosts)
	}
	known, err := readPrograms(opt.Root)
	if err != nil {
		return nil, err
	}
	f := &Fleet{opt: opt, programs: known, hosts: map[string]*Host{}}
	f.populate()
	if f.listener, err = net.Listen("tcp4", "0.0.0.0:0"); err != nil {
		return nil, err
	}
	if err := f.writeFiles(); err != nil {
		f.listener.Close()
		return nil, err
	}
	go f.accept()
	return f, nil
}

// Close ends the listener and every connection.
func (f *Fleet) Close() {
	f.listener.Close()
	f.counters.closeAll()
}

// Inventory is the path of the inventory file.
func (f *Fleet) Inventory() string { return filepath.Join(f.opt.Dir, "inventory.yaml") }

// Servers and Clients tell how many there are.
func (f *Fleet) Servers() int { return len(f.withRole("db_server")) }

// Clients tells how many clients there are.
func (f *Fleet) Clients() int { return len(f.withRole("client")) }

func (f *Fleet) withRole(role string) []*Host {
	var out []*Host
	for _, h := range f.order {
		if h.role == role {
			out = append(out, h)
		}
	}
	return out
}

// populate makes the hosts: three for authorities, then servers, each followed by its clients.
func (f *Fleet) populate() {
	for i, role := range []string{"root_ca", "root_ca", "intermediate_ca"} {
		f.add(fmt.Sprintf("ca%d.fleet.example", i+1), role, nil)
	}
	var server *Host
	for n := 0; len(f.order) < f.opt.Hosts; n++ {
		at, of := n%(f.opt.PerServer+1), n/(f.opt.PerServer+1)+1
		if at == 0 && len(f.order) < f.opt.Hosts-1 {
			server = f.add(fmt.Sprintf("db%04d.fleet.example", of), "db_server", nil)
			server.postgres = newPostgres(server)
			continue
		}
		f.add(fmt.Sprintf("app%04d-%02d.fleet.example", of, at), "client", server)
	}
	if f.opt.Bastion {
		f.add("gate.fleet.example", "", nil)
	}
}

func (f *Fleet) add(name, role string, server *Host) *Host {
	i := len(f.order) + 1
	h := &Host{fleet: f, name: name, role: role, uses: server, index: i, disk: disk{}}
	place := fmt.Sprintf("%d.%d.%d", 1+i>>16, i>>8&255, i&255)
	h.address, h.loopback = "10."+place, "127."+place
	h.disk.dir("/etc", root, 0o755)
	h.disk.put("/etc/hosts", []byte("127.0.0.1 localhost\n"), root, 0o644)
	if role == "client" {
		h.disk.dir("/home/app", app, 0o700)
	}
	f.order = append(f.order, h)
	f.hosts[h.loopback] = h
	return h
}

// hostKey is made from the host's number: the same in every run, and nothing to keep.
func (h *Host) hostKey() (ssh.Signer, error) {
	seed := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("pgfleet simulated host "), uint32(h.index)))
	return ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
}

// writeFiles writes what pgfleet reads.
func (f *Fleet) writeFiles() error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	if f.user, err = ssh.NewPublicKey(public); err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return err
	}
	known, err := f.knownHosts()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"id_ed25519": pem.EncodeToMemory(block), "known_hosts": known, "inventory.yaml": f.inventory()} {
		if err := os.WriteFile(filepath.Join(f.opt.Dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(f.opt.Dir, "ca"), 0o700)
}

func (f *Fleet) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

func (f *Fleet) inventory() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "vars:\n  ssh_user: ops\n  become: true\n  ssh_port: %d\n  ssh_identity_file: %s/id_ed25519\n  ssh_identities_only: true\n  ssh_identity_agent: none\n  ssh_known_hosts: %s/known_hosts\n",
		f.port(), f.opt.Dir, f.opt.Dir)
	if f.opt.Bastion {
		b.WriteString("  ssh_jump: [gate.fleet.example]\n")
	}
	b.WriteString("hosts:\n")
	for _, h := range f.order {
		switch {
		case h.role == "":
			fmt.Fprintf(&b, "  %s: {address: %s, ssh_host: %s, ssh_jump: none}\n", h.name, h.address, h.loopback)
		case h.uses != nil:
			fmt.Fprintf(&b, "  %s: {address: %s, ssh_host: %s, roles: [client], connects_to: [%s], identities: {app: [orders]}}\n", h.name, h.address, h.loopback, h.uses.name)
		default:
			fmt.Fprintf(&b, "  %s: {address: %s, ssh_host: %s, roles: [%s]}\n", h.name, h.address, h.loopback, h.role)
		}
	}
	fmt.Fprintf(&b, `authorities:
  clients:      {host: ca1.fleet.example, subject: "CN=clients", valid_for: 3650d, dir: %[1]s/ca/clients}
  servers_root: {host: ca2.fleet.example, subject: "CN=servers-root", valid_for: 3650d, dir: %[1]s/ca/servers_root}
  servers:      {host: ca3.fleet.example, issuer: servers_root, subject: "CN=servers", valid_for: 1825d, dir: %[1]s/ca/servers}
`, f.opt.Dir)
	return []byte(b.String())
}

func (f *Fleet) knownHosts() ([]byte, error) {
	var b strings.Builder
	for _, h := range f.order {
		key, err := h.hostKey()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("[%s]:%d", h.loopback, f.port())
		if f.opt.HashedKnownHosts {
			name = knownhosts.HashHostname(name)
		}
		fmt.Fprintf(&b, "%s %s", name, ssh.MarshalAuthorizedKey(key.PublicKey()))
	}
	return []byte(b.String()), nil
}
