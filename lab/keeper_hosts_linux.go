package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// makeBridge makes the hosts' network in the keeper's own network namespace, where the machine's packet filters do not reach.
func (k *keeper) makeBridge(machine *os.File) error {
	if err := k.makeUplink(machine); err != nil {
		return err
	}
	return command(`link set lo up
link add name bridge0 type bridge
link set bridge0 up
link set uplink master bridge0
link set uplink up
`, "/usr/sbin/ip", "-batch", "-")
}

// plug connects a host's network namespace; pid is the host's first process in the keeper's numbering.
func (k *keeper) plug(h Host, pid int) error {
	// ip (a newer one) looks for a process by its number in /proc, which has another numbering.
	network, err := os.Open(filepath.Join(k.layers.processes(), fmt.Sprint(pid), "ns/net"))
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer network.Close()
	// A host that has just ended by itself leaves its port for a moment.
	_ = unplug(h)
	return commandWith(network, fmt.Sprintf(`link add name %[1]s type veth peer name eth0 address %[2]s netns /proc/self/fd/3
link set %[1]s master bridge0
link set %[1]s up
`, h.Short, hardware(h)), "/usr/sbin/ip", "-batch", "-")
}

// unplug takes a host from the network; an error says that it is not there.
func unplug(h Host) error { return command("", "/usr/sbin/ip", "link", "delete", h.Short) }

// startHost starts a host and waits until its services answer. first: from a new layer, else from the one it had.
func (k *keeper) startHost(h Host, first bool) error {
	layer, err := k.layerFor(h, first)
	if err != nil {
		return err
	}
	files, err := k.hostFiles(h)
	if err != nil {
		return err
	}
	order := bootOrder{State: k.state, Host: h, Layer: layer, First: first, Trees: k.layers.trees, Files: files}
	now := time.Now()
	// initdb's own scheme: seconds, microseconds, 12 bits more.
	order.Cluster = uint64(now.Unix())<<32 | uint64(now.Nanosecond()/1000)<<12 | uint64(k.index(h))&0xfff
	cmd, pid, err := k.boot(order)
	if err != nil {
		return err
	}
	r := &running{layer: layer, pid: pid, init: cmd, gone: make(chan struct{})}
	k.mu.Lock()
	k.hosts[h.Short] = r
	k.mu.Unlock()
	go func() {
		err := cmd.Wait()
		k.mu.Lock()
		r.pid = 0
		k.mu.Unlock()
		k.log("%s ended: %v", h.Short, err)
		close(r.gone)
	}()
	k.log("%s is up", h.Short)
	return nil
}

// boot starts the first process of a host and gives it its order, once its network is there.
func (k *keeper) boot(order bootOrder) (*exec.Cmd, int, error) {
	cmd, err := stageCommand(stageHost, "pgfleet-lab-host "+k.state.Name+" "+order.Host.Short, hostFlags)
	if err != nil {
		return nil, 0, err
	}
	control, err := listenAt(k.state.path("run", order.Host.Short))
	if err != nil {
		return nil, 0, err
	}
	defer control.Close()
	controlFile, err := control.File()
	if err != nil {
		return nil, 0, fmt.Errorf("pass control socket: %w", err)
	}
	defer controlFile.Close()
	orderIn, orderOut, err := os.Pipe()
	if err != nil {
		return nil, 0, fmt.Errorf("make pipe: %w", err)
	}
	defer orderOut.Close()
	answerIn, answerOut, err := os.Pipe()
	if err != nil {
		orderIn.Close()
		return nil, 0, fmt.Errorf("make pipe: %w", err)
	}
	defer answerIn.Close()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{orderIn, controlFile, answerOut}
	err = cmd.Start()
	orderIn.Close()
	answerOut.Close()
	if err != nil {
		return nil, 0, fmt.Errorf("start first process: %w", err)
	}
	pid, err := k.firstSteps(cmd, order, orderOut, answerIn)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return cmd, pid, err
}

func (k *keeper) firstSteps(cmd *exec.Cmd, order bootOrder, orderOut, answerIn *os.File) (int, error) {
	if err := k.plug(order.Host, cmd.Process.Pid); err != nil {
		return 0, err
	}
	if err := send(orderOut, order); err != nil {
		return 0, err
	}
	_ = answerIn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var answer booted
	if err := json.NewDecoder(answerIn).Decode(&answer); err != nil {
		return 0, fmt.Errorf("read answer of first process: %w", err)
	}
	if answer.Error != "" {
		return 0, errors.New(answer.Error)
	}
	return answer.PID, nil
}

// layerFor gives a new layer, or the one that the host had.
func (k *keeper) layerFor(h Host, first bool) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !first {
		return k.hosts[h.Short].layer, nil
	}
	k.generation++
	layer := fmt.Sprintf("host-%s.%d", h.Short, k.generation)
	return layer, k.layers.create(layer)
}

func (k *keeper) index(h Host) int {
	for i := range k.state.Hosts {
		if k.state.Hosts[i].Short == h.Short {
			return i
		}
	}
	return 0
}

// hostFiles are the host keys, made once in a lab so that a reset host is known again, and root's login.
func (k *keeper) hostFiles(h Host) ([]entryText, error) {
	var files []entryText
	for _, kind := range hostKeyKinds {
		path := k.state.hostKey(h, kind)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := command("", "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@"+h.Short, "-f", path); err != nil {
				return nil, err
			}
		}
		for suffix, mode := range map[string]fs.FileMode{"": 0o600, ".pub": 0o644} {
			text, err := os.ReadFile(path + suffix)
			if err != nil {
				return nil, fmt.Errorf("read host key: %w", err)
			}
			files = append(files, entryText{"/etc/ssh/ssh_host_" + kind + "_key" + suffix, string(text), mode})
		}
	}
	if h.Access == RootLogin {
		text, err := os.ReadFile(k.state.path(keyFile + ".pub"))
		if err != nil {
			return nil, fmt.Errorf("read the lab's key: %w", err)
		}
		files = append(files, entryText{"/root/.ssh/authorized_keys", string(text), 0o600})
	}
	return files, nil
}

// hostKeyKinds are the host keys; RSA is left out: making one takes a second.
var hostKeyKinds = []string{"ed25519", "ecdsa"}

func (s state) hostKey(h Host, kind string) string {
	return s.path("hosts", h.Short+"_"+kind)
}

// hardware is a host's Ethernet address, made of its IPv4 address: a host that starts again is reached at once, whatever its neighbours
// remember.
func hardware(h Host) string {
	a := netip.MustParseAddr(h.Addr).As4()
	return fmt.Sprintf("02:50:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3])
}
