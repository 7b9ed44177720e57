// Package lab makes a fleet of real hosts on one Linux machine: for the demo, for tests and for the benchmark.
//
// A host is a set of namespaces (network, mount, PID, UTS, IPC) with a root file system of its own, laid over the machine's:
// what a host writes stays in its own layer in memory. Each host runs a real sshd on port 22, database hosts a real
// PostgreSQL in Debian's layout.
//
// All hosts of a lab live inside one keeper process: the first process of a PID namespace that holds the hosts, with a network
// namespace that holds the bridge and a mount namespace that holds the layers. When the keeper ends, by whatever cause, the
// kernel ends every process, mount and interface of the lab with it. On the machine itself a lab is that process, one end of
// a veth pair, and its state folder.
//
// A program that imports this package is started again by it as keeper and as the first process of each host (see stage.go).
//
// The namespaces keep hosts apart; they are no security boundary: root in a host is the machine's root.
package lab

import (
	"os/exec"
)

// Lab is a lab that is up, or was. Its methods may be called at the same time, from several processes too.
type Lab struct {
	state state
	// The process that called Up is the keeper's parent; nil after Open.
	keeper *exec.Cmd
	// lifeline is held open by a tied lab; its end ends the keeper.
	lifeline closer
	waited   chan struct{}
}

type closer interface{ Close() error }

// Name is the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Folder is the state folder, with the controller's files: inventory.yaml, ssh_config, known_hosts, id_ed25519.
func (l *Lab) Folder() string { return l.state.Folder }

// Subnet is the lab's network, such as 10.88.0.0/24. The machine has its first address.
func (l *Lab) Subnet() string { return l.state.Subnet }

// Host gives a host by its name or short name.
func (l *Lab) Host(name string) (Host, bool) {
	for _, h := range l.Hosts() {
		if h.Name == name || h.Short == name {
			return h, true
		}
	}
	return Host{}, false
}
